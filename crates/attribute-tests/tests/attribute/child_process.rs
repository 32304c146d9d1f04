//! Runs one test of this executable in a child process.
//!
//! A test that must fail is a function inside another test, where test runners do not find it. The
//! outer test starts this executable again for itself alone. In that child process, the outer test
//! only calls the inner one. In the parent, it asserts the child's exit code and output.

use std::path::Path;
use std::process::{Command, Output};

/// The environment variable that marks a child process.
const CHILD: &str = "EBBTIDE_ATTRIBUTE_CHILD";

/// The path of the test in which it is called, as libtest prints it.
macro_rules! this_test {
    () => {{
        fn mark() {}
        $crate::child_process::enclosing_test(std::any::type_name_of_val(&mark))
    }};
}
pub(crate) use this_test;

/// The path of a test, from the type name of the item `mark` inside it.
///
/// The type name begins with the name of the executable's crate, which libtest does not print.
pub(crate) fn enclosing_test(item: &'static str) -> &'static str {
    let (_, path) = item
        .split_once("::")
        .expect("a type name begins with its crate");
    path.strip_suffix("::mark")
        .expect("the macro defines the item `mark`")
}

pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs a test in a child process and returns its output. In the child it calls `part` and returns
/// `None`.
pub(crate) fn run_in_child(test: &str, part: impl FnOnce()) -> Option<ChildOutput> {
    if is_child() {
        part();
        return None;
    }
    Some(run_test(test))
}

/// Like [`run_in_child`], with additional environment variables for the child.
pub(crate) fn run_in_child_with(
    variables: &[(&str, &str)],
    test: &str,
    part: impl FnOnce(),
) -> Option<ChildOutput> {
    if is_child() {
        part();
        return None;
    }
    Some(run_test_with(variables, test))
}

/// Runs one test of this executable in a child process.
pub(crate) fn run_test(test: &str) -> ChildOutput {
    run_test_with(&[], test)
}

fn run_test_with(variables: &[(&str, &str)], test: &str) -> ChildOutput {
    let mut command = child_command(test);
    command.envs(variables.iter().copied());
    ChildOutput(command.output().unwrap())
}

/// Runs one test of this executable as a debugger does: in another directory, and without the
/// variables of cargo.
pub(crate) fn run_without_cargo(dir: &Path, test: &str) -> ChildOutput {
    let mut command = child_command(test);
    command
        .current_dir(dir)
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("CARGO_PKG_NAME");
    ChildOutput(command.output().unwrap())
}

/// The command for one test of this executable as a child process.
fn child_command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env_remove("RUST_BACKTRACE");
    // The tests examine kept databases immediately, so a short time is enough.
    command.env("EBBTIDE_KEEP_FOR", "30s");
    command
}

/// The output and the exit code of a child process.
#[derive(Debug)]
pub(crate) struct ChildOutput(Output);

impl ChildOutput {
    /// Asserts that one test ran and passed.
    #[track_caller]
    pub(crate) fn assert_passed(&self) -> &Self {
        assert!(
            self.0.status.success()
                && self
                    .stdout()
                    .contains("\ntest result: ok. 1 passed; 0 failed;"),
            "{self}"
        );
        self
    }

    /// Asserts that one test ran and failed, and that libtest reported it.
    #[track_caller]
    pub(crate) fn assert_failed(&self) -> &Self {
        assert_eq!(self.0.status.code(), Some(101), "{self}");
        assert!(
            self.stdout()
                .contains("\ntest result: FAILED. 0 passed; 1 failed;"),
            "{self}"
        );
        self
    }

    /// Asserts that the child's stderr contains a text.
    #[track_caller]
    pub(crate) fn assert_contains(&self, text: &str) -> &Self {
        assert!(
            self.stderr().contains(text),
            "{text:?} is missing in:\n{self}"
        );
        self
    }

    /// Asserts that the child's stderr does not contain a text.
    #[track_caller]
    pub(crate) fn assert_lacks(&self, text: &str) -> &Self {
        assert!(!self.stderr().contains(text), "{text:?} is in:\n{self}");
        self
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }
}

impl std::fmt::Display for ChildOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}\n{}", self.0.status, self.stdout(), self.stderr())
    }
}
