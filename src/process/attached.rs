//! A command of the user, such as a migration tool, that does not outlive this process.
//!
//! ```text
//! this process --- pipe A (never written) ---> shell: reads pipe A until its end,
//!      ^                                       |      then kills the process group
//!      |                                       v
//!      +------------ pipe B (output) ------- the command and what it starts
//! ```
//!
//! A `Drop` alone would not do, because a killed process runs none. But however the process ends,
//! the kernel closes its end of pipe A.

use std::ffi::{OsStr, OsString};
use std::io::{PipeReader, PipeWriter, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::oneshot;

use super::describe_exit;

/// Runs the command, and kills the whole process group when standard input reaches its end.
///
/// Standard input is a pipe whose other end only this process holds, so it ends when this process
/// ends. The watcher in the background reads descriptor 3, because the command itself gets
/// `/dev/null`. The last `exec` closes descriptor 3, so that the command does not inherit it.
const GROUP_SCRIPT: &str = r#"exec 3<&0 </dev/null
{ read -r _ <&3; kill -s KILL 0; } >/dev/null 2>&1 &
exec 3<&-
"$@""#;

/// How much of the output's end is kept, in bytes.
const MAX_OUTPUT: usize = 64 * 1024;

/// How long to wait for the end of the output after the command has ended.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);

/// A running command in a process group of its own. Dropping the value kills the group.
#[derive(Debug)]
pub(crate) struct Attached {
    /// `None` once the group has been killed: its number may belong to another group by then.
    group: Option<Pid>,
    exited: oneshot::Receiver<std::io::Result<ExitStatus>>,
    output: Arc<Mutex<Vec<u8>>>,
    output_ended: oneshot::Receiver<()>,
    _alive: PipeWriter,
}

/// What to run.
#[derive(Debug)]
pub(crate) struct CommandSpec<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [String],
    pub(crate) dir: &'a Path,
    /// Added to our own environment. A variable without a value is removed.
    pub(crate) variables: &'a [(&'a str, Option<String>)],
}

impl Attached {
    /// Starts the command with two threads: one reads its output, the other waits for its end.
    ///
    /// # Errors
    /// A pipe, the shell or a thread could not be created.
    pub(crate) fn spawn(spec: &CommandSpec<'_>) -> std::io::Result<Self> {
        // The standard library opens pipes with `O_CLOEXEC`, so no other child of this process
        // inherits `alive` and keeps pipe A open.
        let (watched, alive) = std::io::pipe()?;
        let (reader, writer) = std::io::pipe()?;
        let mut command = Command::new("sh");
        command
            .args(["-c", GROUP_SCRIPT, "ebbtide"])
            .arg(spec.program)
            .args(spec.arguments);
        // The watcher kills its own group, so this process must not belong to that group.
        command.current_dir(spec.dir).process_group(0);
        command
            .stdin(watched)
            // One pipe for both, so that the lines keep their order.
            .stdout(writer.try_clone()?)
            .stderr(Stdio::from(writer));
        for (name, value) in spec.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = command.spawn()?;
        // The command holds our copies of the output pipe's writing end. While one is open, the
        // reader sees no end of file.
        drop(command);
        // If one of the threads below cannot start, `alive` is dropped and the watcher ends the
        // command. Only a zombie stays until this process ends.
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let output = Arc::new(Mutex::new(Vec::new()));
        let (exit_sender, exited) = oneshot::channel();
        let (end_sender, output_ended) = oneshot::channel();
        let collected = Arc::clone(&output);
        std::thread::Builder::new()
            .name("ebbtide-output".into())
            .spawn(move || {
                read_output(reader, &collected);
                // The receiver is gone if the `Attached` was dropped.
                let _ = end_sender.send(());
            })?;
        std::thread::Builder::new()
            .name("ebbtide-child".into())
            .spawn(move || {
                // The thread waits even if the receiver is gone, so that no zombie stays.
                let _ = exit_sender.send(child.wait());
            })?;
        Ok(Self {
            group,
            exited,
            output,
            output_ended,
            _alive: alive,
        })
    }

    /// Waits for the command's end, and kills what it has left running in its group.
    ///
    /// # Errors
    /// A description of the end, unless the exit code was 0.
    ///
    /// # Cancel safety
    /// It may be called again after a cancelled call.
    pub(crate) async fn ended(&mut self) -> Result<(), String> {
        let status = (&mut self.exited).await;
        // The watcher is still in the group and waits for pipe A, so no other group has this number
        // yet.
        self.end();
        match status {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(describe_exit(status)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("its exit status is unknown".to_owned()),
        }
    }

    /// Kills the process group, once.
    pub(crate) fn end(&mut self) {
        if let Some(group) = self.group.take() {
            // `ESRCH`: all its processes have ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// The end of the command's standard output and standard error.
    ///
    /// Call it once, after the command has ended.
    pub(crate) async fn output(&mut self) -> String {
        // A process that has left the group may hold the pipe open. On a timeout, the output that
        // has arrived is all there is to return.
        let _ = tokio::time::timeout(OUTPUT_TIMEOUT, &mut self.output_ended).await;
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&output).into_owned()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads the pipe to its end, and keeps between `MAX_OUTPUT` and twice as much of its end.
fn read_output(mut reader: PipeReader, output: &Mutex<Vec<u8>>) {
    let mut chunk = vec![0; 8 * 1024];
    while let Ok(read @ 1..) = reader.read(&mut chunk) {
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        output.extend_from_slice(&chunk[..read]);
        // Only at twice the size: otherwise every chunk would move all bytes that are kept.
        if output.len() > 2 * MAX_OUTPUT {
            let surplus = output.len() - MAX_OUTPUT;
            output.drain(..surplus);
        }
    }
}

/// Finds a program as a shell would: a name with a slash is relative to `dir`, any other name is
/// looked up in `search_path`.
pub(crate) fn find_program(name: &str, dir: &Path, search_path: &OsStr) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        std::fs::metadata(path)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(dir.join(name)).filter(is_program);
    }
    let name = OsString::from(name);
    std::env::split_paths(search_path)
        // A relative entry of PATH counts from the command's directory. `join` keeps an absolute
        // one.
        .map(|place| dir.join(place).join(&name))
        .find(is_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Attached {
        let arguments = ["-c".to_owned(), script.to_owned()];
        let variables = [("EBBTIDE_ATTACHED", Some("yes".to_owned())), ("HOME", None)];
        let dir = Path::new("/");
        let spec = CommandSpec {
            program: Path::new("/bin/sh"),
            arguments: &arguments,
            dir,
            variables: &variables,
        };
        Attached::spawn(&spec).expect("a shell runs")
    }

    #[tokio::test]
    async fn a_command_gets_its_variables_and_its_output_is_read_to_the_end() {
        let mut command = shell("echo $EBBTIDE_ATTACHED${HOME-no}; cat; pwd >&2; exit 3");
        assert_eq!(command.ended().await, Err("exit code 3".to_owned()));
        assert_eq!(command.output().await, "yesno\n/\n");
    }

    #[tokio::test]
    async fn only_the_end_of_much_output_is_kept() {
        let mut command = shell("i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done");
        assert_eq!(command.ended().await, Ok(()));
        let output = command.output().await;
        assert!(
            output.len() <= 2 * MAX_OUTPUT && output.ends_with("line 29999\n"),
            "{}",
            output.len()
        );
    }

    #[tokio::test]
    async fn processes_that_a_command_leaves_running_end_with_it() {
        let mut command = shell("sleep 1000 & echo $!");
        assert_eq!(command.ended().await, Ok(()));
        let pid: u32 = command.output().await.trim().parse().expect("a number");
        let mut polling =
            crate::wait::Polling::new("the end of what was left running", Duration::from_secs(30));
        while super::super::start_time(pid) != Ok(None) {
            polling.pause(pid).await.expect("it ends");
        }
    }

    #[test]
    fn a_program_is_found_by_its_name_or_its_path() {
        let path = OsStr::new("/nowhere:/bin");
        assert_eq!(
            find_program("sh", Path::new("/"), path),
            Some(PathBuf::from("/bin/sh"))
        );
        assert_eq!(
            find_program("bin/sh", Path::new("/"), path),
            Some(PathBuf::from("/bin/sh"))
        );
        assert_eq!(find_program("no-such-program", Path::new("/"), path), None);
        assert_eq!(find_program("./bin", Path::new("/"), path), None);
    }
}
