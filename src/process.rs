//! Child processes, and the identity of running processes.
//!
//! | type | relation to this process |
//! |---|---|
//! | [`Detached`] | a child that outlives us: the supervisor of a server |
//! | [`Attached`] | a command of the user that ends when we end |
//! | [`ProcessMark`] | names a process in a file or a label: others can test whether it lives |
//! | [`Running`] | any process of this machine, found in `/proc` |
//!
//! A process identifier alone does not identify a process, because the kernel reuses it. All marks
//! therefore hold the start time too. Two programs compute it and compare each other's results:
//! this module and the shell function `started` in `server/instance.sh`. Both must yield the same
//! text.

mod attached;

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, Result};
use crate::scarcity::Scarcity;

pub(crate) use attached::{Attached, CommandSpec, find_program};

/// How long [`Detached::was_killed`] waits for a child that is about to end.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The user that a child runs as, if it is not our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A process identifier and the moment when that process started.
///
/// The pair never names another process on this machine since its boot. It is written as
/// `PID.START`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessMark {
    pub(crate) pid: u32,
    start_time: String,
}

impl ProcessMark {
    /// The mark of this process.
    pub(crate) fn own() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            start_time: start_time(pid).ok().flatten().unwrap_or_default(),
        }
    }

    /// Parses the text that [`Display`](std::fmt::Display) writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (pid, start_time) = text.trim().split_once('.')?;
        Some(Self {
            pid: pid.parse().ok()?,
            start_time: start_time.to_owned(),
        })
    }

    /// Whether the process lives, or cannot be proved dead.
    pub(crate) fn is_alive(&self) -> bool {
        match start_time(self.pid) {
            Ok(found) => found.is_some_and(|found| found == self.start_time),
            // Callers remove the server of a dead process. If this process has no file descriptor
            // left to read `/proc`, a wrong "dead" would end a server that other processes use.
            Err(_) => true,
        }
    }
}

impl std::fmt::Display for ProcessMark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.pid, self.start_time)
    }
}

/// Returns when a process started, or `None` if no such process lives.
///
/// On Linux the value is the number of clock ticks since boot, elsewhere the letters and digits of
/// `ps -o lstart=`. Callers only compare it.
///
/// # Errors
/// This process has reached a limit of its own, such as open files, so the answer is unknown.
fn start_time(pid: u32) -> std::result::Result<Option<String>, Scarcity> {
    // `kill(pid, 0)` does not suffice. It fails with `EPERM` for a living process of another user,
    // and cannot detect a reused number. Any error other than a shortage means that there is no
    // such process.
    let refused = |error: &std::io::Error| Scarcity::of_start(error).map_or(Ok(None), Err);
    if Path::new("/proc/self/stat").exists() {
        match Running::read(pid) {
            Ok(running) => Ok(running.map(|running| running.start_time)),
            Err(error) => refused(&error),
        }
    } else {
        let output = match Command::new("ps")
            .args(["-o", "lstart=", "-p", &pid.to_string()])
            .output()
        {
            Ok(output) => output,
            Err(error) => return refused(&error),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let token: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
        Ok((!token.is_empty()).then_some(token))
    }
}

/// A process of any user, as read from `/proc`.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) pid: u32,
    /// Its process group.
    pub(crate) group: u32,
    /// The program's name. PostgreSQL's process titles change the arguments, and not this name.
    pub(crate) command: String,
    /// The clock ticks from the boot to its start.
    start_time: String,
}

impl Running {
    /// Its working directory.
    pub(crate) fn dir(&self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let line = std::fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        line.split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    }

    /// Reads `/proc/PID/stat` (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>).
    ///
    /// Returns `None` for a zombie.
    fn read(pid: u32) -> std::io::Result<Option<Self>> {
        // The kernel cuts the command after 15 bytes, perhaps within a character.
        let stat = std::fs::read(format!("/proc/{pid}/stat"))?;
        Ok(Self::parse(pid, &String::from_utf8_lossy(&stat)))
    }

    fn parse(pid: u32, stat: &str) -> Option<Self> {
        // Field 2 is the command in parentheses. The command may contain spaces and parentheses, so
        // the fields are counted from the last parenthesis.
        let (before, after_command) = stat.rsplit_once(')')?;
        let (_, command) = before.split_once('(')?;
        let mut fields = after_command.split_whitespace();
        // Fields 3, 5 and 22.
        let (state, group, start_time) = (fields.next()?, fields.nth(1)?, fields.nth(16)?);
        // A zombie has ended, and stays in the table until its parent waits for it.
        if ["Z", "X"].contains(&state) {
            return None;
        }
        Some(Self {
            pid,
            group: group.parse().ok()?,
            command: command.to_owned(),
            start_time: start_time.to_owned(),
        })
    }
}

/// Every living process. Without a `/proc`, the list is empty.
pub(crate) fn all() -> Vec<Running> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        // A process that ends during the listing is left out.
        .filter_map(|entry| Running::read(entry.file_name().to_str()?.parse().ok()?).ok()?)
        .collect()
}

/// A child that outlives this process.
///
/// The child holds none of our file descriptors except the pipe of its standard error. The child
/// closes the pipe after its start-up.
#[derive(Debug)]
pub(crate) struct Detached {
    exited: oneshot::Receiver<std::io::Result<ExitStatus>>,
    /// The value received from `exited`. The channel yields it only once.
    ended: Option<std::io::Result<ExitStatus>>,
    output: oneshot::Receiver<String>,
}

impl Detached {
    /// Starts the command. Its standard error is a pipe that the child closes after its start-up.
    ///
    /// A thread starts the child, reads the pipe and then waits for the child. Without the wait, a
    /// child that ends before us would stay a zombie and keep its process identifier.
    ///
    /// # Errors
    /// The thread or the child could not be started.
    pub(crate) fn spawn(mut command: Command, account: Option<Account>) -> std::io::Result<Self> {
        // nextest reports a child that holds the test's stdout as a leak. In a process group of its
        // own, the child does not get the terminal's Ctrl-C.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .current_dir("/");
        run_as(&mut command, account);
        let (exit_sender, exited) = oneshot::channel();
        let (output_sender, output) = oneshot::channel();
        let (start_sender, started) = mpsc::channel();
        // The thread starts before the child. In the other order, a limit on threads would leave a
        // child that no thread waits for.
        std::thread::Builder::new()
            .name("ebbtide-child".into())
            .spawn(move || {
                let mut child = match command.spawn() {
                    Ok(child) => child,
                    Err(error) => {
                        // The receiver exists: `spawn` blocks until this message arrives.
                        let _ = start_sender.send(Err(error));
                        return;
                    }
                };
                // The receiver exists, as above.
                let _ = start_sender.send(Ok(()));
                // The pipe is read before the wait: a child that has filled it could not end.
                let mut stderr = child.stderr.take();
                let mut text = Vec::new();
                if let Some(pipe) = &mut stderr {
                    // After a read error, the part before the error is still worth reporting.
                    let _ = pipe.read_to_end(&mut text);
                }
                drop(stderr);
                // The receivers are gone if the caller has dropped the `Detached`. The thread waits
                // for the child all the same.
                let _ = output_sender.send(String::from_utf8_lossy(&text).into_owned());
                let _ = exit_sender.send(child.wait());
            })?;
        // Blocks until the child has executed the program, or could not: `Command::spawn` returns
        // then.
        started.recv().map_err(std::io::Error::other)??;
        Ok(Self {
            exited,
            ended: None,
            output,
        })
    }

    /// Waits until the child has closed its standard error, and returns what it wrote there.
    ///
    /// It can be called only once.
    pub(crate) async fn start_up_output(&mut self) -> String {
        (&mut self.output).await.unwrap_or_default()
    }

    /// Waits for the child's end, and returns the signal that ended it, if one did.
    async fn fatal_signal(&mut self) -> Option<String> {
        if self.ended.is_none() {
            self.ended = (&mut self.exited).await.ok();
        }
        let status = self.ended.as_ref()?.as_ref().ok()?;
        status.signal().map(|_| describe_exit(*status))
    }

    /// How the child ended, if it has ended.
    pub(crate) fn exit_status(&mut self) -> Option<String> {
        if self.ended.is_none() {
            self.ended = self.exited.try_recv().ok();
        }
        match self.ended.as_ref()? {
            Ok(status) => Some(describe_exit(*status)),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Whether a signal ended the child. The child must have ended or be about to end.
    pub(crate) async fn was_killed(&mut self) -> bool {
        tokio::time::timeout(EXIT_TIMEOUT, self.fatal_signal())
            .await
            .is_ok_and(|signal| signal.is_some())
    }
}

fn describe_exit(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn run_as(command: &mut Command, account: Option<Account>) {
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
}

/// Runs a short command, blocks until it ends, and returns its standard output.
///
/// # Errors
/// The command could not be started, or did not exit with 0. The error contains its standard error.
pub(crate) fn run(
    program: &Path,
    arguments: &[&OsStr],
    account: Option<Account>,
    search_path: Option<&OsStr>,
) -> Result<String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .current_dir("/");
    if let Some(search_path) = search_path {
        command.env("PATH", search_path);
    }
    run_as(&mut command, account);
    let name = program.display();
    let output = command.output().map_err(|error| {
        Error::new(ErrorKind::Io, format!("{name} could not be run")).with_source(error)
    })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::new(
            ErrorKind::Io,
            format!("{name} failed: {}", describe_exit(output.status)),
        )
        .with_evidence("its output", String::from_utf8_lossy(&output.stderr)))
    }
}

/// The last lines of a log file, or an empty string if it cannot be read.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = std::fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    last_lines(&text, lines)
}

pub(crate) fn last_lines(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_mark_survives_parsing_and_detects_a_dead_process() {
        let own = ProcessMark::own();
        assert_eq!(ProcessMark::parse(&own.to_string()), Some(own.clone()));
        assert!(own.is_alive());

        let mut child = Command::new("true").spawn().expect("true runs");
        let pid = child.id();
        child.wait().expect("the child ends");
        assert_eq!(start_time(pid), Ok(None));
        let reused = ProcessMark {
            pid: own.pid,
            start_time: "0".into(),
        };
        assert!(
            !reused.is_alive(),
            "the same number at another time is another process"
        );
    }

    /// The kernel keeps 15 bytes of a program's name, which may end within a character.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_whose_name_is_not_utf_8_is_alive() {
        let mut child = Command::new("sh")
            .args([
                "-c",
                "printf 'sturmm\\303' > /proc/$$/comm; echo; read -r _",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell runs");
        let mut line = [0];
        let stdout = child.stdout.as_mut().expect("a pipe");
        stdout.read_exact(&mut line).expect("the name is set");
        let pid = child.id();
        let started = start_time(pid);
        let running = Running::read(pid).ok().flatten();
        drop(child.stdin.take());
        child.wait().expect("the child ends");
        assert!(matches!(started, Ok(Some(_))), "{started:?}");
        let command = running.map(|running| running.command);
        assert_eq!(command.as_deref(), Some("sturmm\u{fffd}"));
    }
}
