//! Child processes and the identity of living ones.

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

/// How long the end of a child is waited for that is known to be ending.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The user that a child runs as, where that is not our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A process and the moment it started, which together never name another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessMark {
    pub(crate) pid: u32,
    started: String,
}

impl ProcessMark {
    /// The running process itself.
    pub(crate) fn own() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            started: started(pid).ok().flatten().unwrap_or_default(),
        }
    }

    /// Reads what [`Display`](std::fmt::Display) wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (pid, started) = text.trim().split_once('.')?;
        Some(Self {
            pid: pid.parse().ok()?,
            started: started.to_owned(),
        })
    }

    /// Whether the process lives, or is not known to be dead: a limit of our own process ends nobody else's server.
    pub(crate) fn is_alive(&self) -> bool {
        match started(self.pid) {
            Ok(started) => started.is_some_and(|started| started == self.started),
            Err(_) => true,
        }
    }
}

impl std::fmt::Display for ProcessMark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.pid, self.started)
    }
}

/// When a process started, in the system's own terms; nothing when it is not there.
///
/// A signal would not do: `kill -0` on another user's process says no although it lives.
///
/// # Errors
/// Our own process has run out of something, and cannot look.
fn started(pid: u32) -> std::result::Result<Option<String>, Scarcity> {
    let refused = |error: &std::io::Error| Scarcity::of_start(error).map_or(Ok(None), Err);
    if Path::new("/proc/self/stat").exists() {
        let stat = match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat,
            Err(error) => return refused(&error),
        };
        // The second field is the command in parentheses and may hold anything. Start time is field 22.
        let Some((_, after_command)) = stat.rsplit_once(')') else {
            return Ok(None);
        };
        let mut fields = after_command.split_whitespace();
        // A zombie has ended; only its parent has not looked yet.
        let is_over = fields
            .next()
            .is_none_or(|state| state == "Z" || state == "X");
        Ok(if is_over {
            None
        } else {
            fields.nth(18).map(str::to_owned)
        })
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

/// A process of anybody's, as the system shows it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) pid: u32,
    /// Its process group.
    pub(crate) group: u32,
    /// The program's name, which no process title changes.
    pub(crate) command: String,
}

impl Running {
    /// The directory that it works in.
    pub(crate) fn dir(&self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let line = std::fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        line.split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    }

    fn read(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (before, after_command) = stat.rsplit_once(')')?;
        let mut fields = after_command.split_whitespace();
        let is_over = ["Z", "X"].contains(&fields.next()?);
        let group = fields.nth(1)?.parse().ok()?;
        let (_, command) = before.split_once('(')?;
        (!is_over).then(|| Self {
            pid,
            group,
            command: command.to_owned(),
        })
    }
}

/// Every living process, where there is a `/proc`; elsewhere none.
pub(crate) fn all() -> Vec<Running> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Running::read(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// A child that outlives us, in its own process group, holding none of our file descriptors.
#[derive(Debug)]
pub(crate) struct Detached {
    exited: oneshot::Receiver<std::io::Result<ExitStatus>>,
    /// What `exited` has brought: it does so once.
    ended: Option<std::io::Result<ExitStatus>>,
    said: oneshot::Receiver<String>,
}

impl Detached {
    /// Starts the command. Its standard error is a pipe that the child must close when it has started up.
    pub(crate) fn spawn(mut command: Command, account: Option<Account>) -> std::io::Result<Self> {
        // A child that holds the test's stdout is reported as a leak by nextest.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .current_dir("/");
        act_as(&mut command, account);
        let (exit_sender, exited) = oneshot::channel();
        let (text_sender, said) = oneshot::channel();
        let (start_sender, started) = mpsc::channel();
        // The thread reaps the child, so that a server that ends before us leaves no zombie. It comes first: where no thread
        // can be had, there would be a child without its reaper.
        std::thread::Builder::new()
            .name("ebbtide-child".into())
            .spawn(move || {
                let mut child = match command.spawn() {
                    Ok(child) => child,
                    Err(error) => {
                        // The starter waits for it.
                        let _ = start_sender.send(Err(error));
                        return;
                    }
                };
                // As above.
                let _ = start_sender.send(Ok(()));
                let mut stderr = child.stderr.take();
                let mut text = Vec::new();
                if let Some(pipe) = &mut stderr {
                    // What could be read before an error is still worth showing.
                    let _ = pipe.read_to_end(&mut text);
                }
                drop(stderr);
                // Nobody listens any more when the starter gave up; the child is reaped all the same.
                let _ = text_sender.send(String::from_utf8_lossy(&text).into_owned());
                let _ = exit_sender.send(child.wait());
            })?;
        started.recv().map_err(std::io::Error::other)??;
        Ok(Self {
            exited,
            ended: None,
            said,
        })
    }

    /// What the child wrote until it closed its standard error.
    pub(crate) async fn start_up_output(&mut self) -> String {
        (&mut self.said).await.unwrap_or_default()
    }

    /// Waits for the child's end, which is known to be near, and returns the signal that brought it about.
    async fn fatal_signal(&mut self) -> Option<String> {
        if self.ended.is_none() {
            self.ended = (&mut self.exited).await.ok();
        }
        let status = self.ended.as_ref()?.as_ref().ok()?;
        status.signal().map(|_| describe_exit(*status))
    }

    /// How the child ended, if it has.
    pub(crate) fn exit_status(&mut self) -> Option<String> {
        if self.ended.is_none() {
            self.ended = self.exited.try_recv().ok();
        }
        match self.ended.as_ref()? {
            Ok(status) => Some(describe_exit(*status)),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Whether a signal ended the child, which must have ended or be about to.
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

fn act_as(command: &mut Command, account: Option<Account>) {
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
}

/// Runs a short command to its end.
///
/// # Errors
/// The command could not be started or did not exit with 0; the error holds what it printed.
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
    act_as(&mut command, account);
    let shown = program.display();
    let output = command.output().map_err(|error| {
        Error::new(ErrorKind::Io, format!("{shown} could not be run")).with_source(error)
    })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::new(
            ErrorKind::Io,
            format!("{shown} failed: {}", describe_exit(output.status)),
        )
        .with_evidence("its output", String::from_utf8_lossy(&output.stderr)))
    }
}

/// The last lines of a log, or nothing when it cannot be read.
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
    fn a_mark_survives_its_text_and_knows_the_living_from_the_dead() {
        let own = ProcessMark::own();
        assert_eq!(ProcessMark::parse(&own.to_string()), Some(own.clone()));
        assert!(own.is_alive());

        let mut child = Command::new("true").spawn().expect("true runs");
        let pid = child.id();
        child.wait().expect("the child ends");
        assert_eq!(started(pid), Ok(None));
        let reused = ProcessMark {
            pid: own.pid,
            started: "0".into(),
        };
        assert!(
            !reused.is_alive(),
            "the same number at another time is another process"
        );
    }
}
