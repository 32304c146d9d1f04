//! A command of the user's, which ends with us.

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

/// Runs the command, and ends the whole process group when its standard input does: that is a pipe which nobody but us
/// holds open, so it ends when we do, in whatever way.
const WITH_US: &str = r#"exec 3<&0 </dev/null
{ read -r _ <&3; kill -s KILL 0; } >/dev/null 2>&1 &
exec 3<&-
"$@""#;

/// How much of the output is kept: its end.
const KEPT: usize = 64 * 1024;

/// How long output is waited for that a process holds open which has left the group.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);

/// A running command in a process group of its own. Dropping it ends the group.
#[derive(Debug)]
pub(crate) struct Attached {
    group: Option<Pid>,
    exited: oneshot::Receiver<std::io::Result<ExitStatus>>,
    said: Arc<Mutex<Vec<u8>>>,
    silent: oneshot::Receiver<()>,
    _alive: PipeWriter,
}

/// What to run.
#[derive(Debug)]
pub(crate) struct CommandSpec<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [String],
    pub(crate) dir: &'a Path,
    /// On top of our own environment; without a value, a variable is taken out.
    pub(crate) variables: &'a [(&'a str, Option<String>)],
}

impl Attached {
    pub(crate) fn spawn(spec: &CommandSpec<'_>) -> std::io::Result<Self> {
        let (watched, alive) = std::io::pipe()?;
        let (output, heard) = std::io::pipe()?;
        let mut command = Command::new("sh");
        command
            .args(["-c", WITH_US, "ebbtide"])
            .arg(spec.program)
            .args(spec.arguments);
        command.current_dir(spec.dir).process_group(0);
        command
            .stdin(watched)
            .stdout(heard.try_clone()?)
            .stderr(Stdio::from(heard));
        for (name, value) in spec.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = command.spawn()?;
        // Our copies of the pipe's end would keep the output from ending.
        drop(command);
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let said = Arc::new(Mutex::new(Vec::new()));
        let (exit_sender, exited) = oneshot::channel();
        let (silence_sender, silent) = oneshot::channel();
        let memory = Arc::clone(&said);
        std::thread::Builder::new()
            .name("ebbtide-output".into())
            .spawn(move || {
                listen(output, &memory);
                // Nobody listens any more when the command was given up.
                let _ = silence_sender.send(());
            })?;
        std::thread::Builder::new()
            .name("ebbtide-child".into())
            .spawn(move || {
                // Reaped in any case, so that no zombie stays.
                let _ = exit_sender.send(child.wait());
            })?;
        Ok(Self {
            group,
            exited,
            said,
            silent,
            _alive: alive,
        })
    }

    /// Waits for the command's end, and ends whatever it has left running in its group.
    ///
    /// # Errors
    /// How it ended, unless that was well.
    ///
    /// # Cancel safety
    /// It may be called again.
    pub(crate) async fn ended(&mut self) -> Result<(), String> {
        let status = (&mut self.exited).await;
        self.end();
        match status {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(describe_exit(status)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("its end was not seen".to_owned()),
        }
    }

    /// Ends the group, if it has not ended.
    pub(crate) fn end(&mut self) {
        if let Some(group) = self.group.take() {
            // It may have gone by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// The end of what it wrote to its standard output and its standard error, once it has ended.
    pub(crate) async fn output(&mut self) -> String {
        // What has left the group may hold the pipe open; then this is all that can be had.
        let _ = tokio::time::timeout(OUTPUT_TIMEOUT, &mut self.silent).await;
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&said).into_owned()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.end();
    }
}

fn listen(mut output: PipeReader, said: &Mutex<Vec<u8>>) {
    let mut chunk = vec![0; 8 * 1024];
    while let Ok(read @ 1..) = output.read(&mut chunk) {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(&chunk[..read]);
        if said.len() > 2 * KEPT {
            let surplus = said.len() - KEPT;
            said.drain(..surplus);
        }
    }
}

/// The program that a name means: a path with a slash from `directory`, any other name by the search path.
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
    async fn a_command_has_its_variables_and_is_heard_to_its_end() {
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
            output.len() <= 2 * KEPT && output.ends_with("line 29999\n"),
            "{}",
            output.len()
        );
    }

    #[tokio::test]
    async fn what_a_command_leaves_running_ends_with_it() {
        let mut command = shell("sleep 1000 & echo $!");
        assert_eq!(command.ended().await, Ok(()));
        let pid: u32 = command.output().await.trim().parse().expect("a number");
        let mut patience =
            crate::wait::Patience::new("the end of what was left running", Duration::from_secs(30));
        while super::super::started(pid) != Ok(None) {
            patience.pause(pid).await.expect("it ends");
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
