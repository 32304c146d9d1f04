//! A shell that calls functions of a script, and processes for the functions to find.

use std::collections::HashSet;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::process::Process;
use crate::support::program::{find_program, program};
use crate::support::{Scratch, wait_until};

/// The programs that a system may have as `sh`. dash is Debian's, busybox is Alpine's.
const SHELLS: [&[&str]; 4] = [&["sh"], &["dash"], &["bash"], &["busybox", "sh"]];

/// A shell, with a directory for one test.
#[derive(Debug)]
pub(super) struct Shell {
    command: &'static [&'static str],
    pub(super) scratch: Scratch,
}

/// Runs a test in each shell that this machine has.
pub(super) fn in_each_shell(test: impl Fn(&Shell)) {
    // Usually, `sh` is a link to one of the others.
    let mut files = HashSet::new();
    for command in SHELLS {
        let file = find_program(command[0]).map(|path| path.canonicalize().unwrap());
        if file.is_some_and(|file| files.insert(file)) {
            println!("the shell: {command:?}");
            test(&Shell::new(command));
        }
    }
}

impl Shell {
    fn new(command: &'static [&'static str]) -> Self {
        Self {
            command,
            scratch: Scratch::new(),
        }
    }

    /// The shell of the scripts in `.ci`.
    pub(super) fn bash() -> Self {
        Self::new(&["bash"])
    }

    /// Runs a script with arguments, asserts that it succeeds, and returns its output.
    ///
    /// The shell leads a process group of its own, as a supervisor does. All processes of the group
    /// are killed when the shell has ended.
    #[track_caller]
    pub(super) fn run(&self, script: &str, arguments: &[&str]) -> String {
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| self.scratch.path(name));
        let create = |path| Stdio::from(std::fs::File::create(path).unwrap());
        let mut child = Command::new(self.command[0])
            .args(&self.command[1..])
            .args(["-c", script, "a-script"])
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            // Files, because the shell's background processes would keep pipes open.
            .stdout(create(&stdout))
            .stderr(create(&stderr))
            .process_group(0)
            .spawn()
            .unwrap();
        let group = Group(Pid::from_child(&child));
        let mut status = None;
        wait_until("the script has ended", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        drop(group);
        let [stdout, stderr] = [stdout, stderr].map(|path| std::fs::read_to_string(path).unwrap());
        let status = status.unwrap();
        assert!(
            status.success(),
            "{:?}: {status}\n{stdout}\n{stderr}",
            self.command
        );
        stdout.trim_end().to_owned()
    }

    /// Runs lines after `instance.sh`, with a linger of three seconds and an instance directory that
    /// has the file `serving` and an empty directory of leases.
    #[track_caller]
    pub(super) fn run_on_instance(&self, lines: &str) -> String {
        let dir = self.instance();
        std::fs::create_dir_all(dir.join("leases")).unwrap();
        std::fs::write(dir.join("serving"), "").unwrap();
        self.run_without_instance(lines)
    }

    /// Like [`run_on_instance`](Self::run_on_instance), and does not create the instance directory.
    #[track_caller]
    pub(super) fn run_without_instance(&self, lines: &str) -> String {
        let [instance, pointer] =
            [self.instance(), self.pointer()].map(|path| path.to_str().unwrap().to_owned());
        // All of `instance.sh`: outside of its functions, it only sets variables and traps.
        let script = format!("{}\n{lines}", text("src/server/instance.sh"));
        self.run(&script, &[&instance, &pointer, "3", "1.2.3"])
    }

    pub(super) fn instance(&self) -> PathBuf {
        self.scratch.path("0123abcd.4567ef89")
    }

    pub(super) fn pointer(&self) -> PathBuf {
        self.scratch.path("0123abcd.json")
    }
}

/// A process group, killed when the value is dropped, also if the script does not end in time.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // Usually no process of the group is left.
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

/// The text of a script of this repository. Those in `.ci` are not part of the published crate.
pub(super) fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The functions of a script of this repository, without the commands outside of them.
///
/// # Panics
/// If the script has no function.
pub(super) fn functions(path: &str) -> String {
    let script = text(path);
    let mut functions = String::new();
    let mut lines = script.lines();
    while let Some(line) = lines.next() {
        let is_head = line.split_once("() {").is_some_and(|(name, _)| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        });
        if !is_head {
            continue;
        }
        functions += line;
        functions += "\n";
        if line.ends_with('{') {
            for line in lines.by_ref() {
                functions += line;
                functions += "\n";
                if line.starts_with('}') {
                    break;
                }
            }
        }
    }
    assert!(!functions.is_empty(), "{path} has no function");
    functions
}

/// A process that waits, and is killed when the value is dropped.
#[derive(Debug)]
pub(super) struct Sleeper {
    child: Child,
    pub(super) process: Process,
}

impl Sleeper {
    pub(super) fn start() -> Self {
        Self::start_as(&program("sleep"), Path::new("/"))
    }

    /// A copy of `sleep` with another path, in a working directory.
    pub(super) fn start_copy(path: &Path, working_dir: &Path) -> Self {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Another process copies. A process that another thread forks would inherit a descriptor that
        // writes to the copy, and the copy could not be executed (ETXTBSY).
        let copied = Command::new("cp").arg(program("sleep")).arg(path).status();
        assert!(copied.unwrap().success());
        Self::start_as(path, working_dir)
    }

    pub(super) fn start_as(program: &Path, working_dir: &Path) -> Self {
        let child = Command::new(program)
            .arg("100")
            .current_dir(working_dir)
            .spawn()
            .unwrap();
        let process = Process::find(&child.id().to_string()).unwrap();
        Self { child, process }
    }

    /// `PID.START`
    pub(super) fn mark(&self) -> String {
        self.process.mark()
    }

    /// The mark of a process that has ended.
    pub(super) fn dead_mark() -> String {
        Self::start().mark()
    }

    /// Kills the process. Until the value is dropped, the process is a zombie.
    pub(super) fn kill(&self) {
        self.process.kill();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        // A test may have killed it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The mark of a process with the same pid that started at another time.
pub(super) fn with_another_start(mark: &str) -> String {
    let (pid, start) = mark.split_once('.').unwrap();
    format!("{pid}.1{start}")
}

#[test]
fn every_function_of_the_scripts_is_found() {
    for path in [
        "src/server/native/saved.sh",
        "src/server/native/supervise.sh",
        "src/server/container/supervise.sh",
        "src/server/container/entrypoint.sh",
        ".ci/run",
        ".ci/leftovers",
    ] {
        let heads = |text: &str| text.matches("() {").count();
        assert_eq!(heads(&functions(path)), heads(&text(path)), "{path}");
    }
}
