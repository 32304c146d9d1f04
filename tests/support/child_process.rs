//! Runs one test of this executable in a child process.
//!
//! A test needs a child process where the environment, a killed process, or the process's memory is
//! the subject. The child runs the same test function. Only in the child, [`child_role`] returns a
//! role.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use super::skip::{SKIPPED_PREFIX, print_uncaptured};

/// The environment variable with the child's role.
const ROLE_VARIABLE: &str = "PART_IN_A_FAILURE";

/// The path of the test in which it is called, as libtest prints it.
///
/// The thread's name would not do: on the runner's main thread it is `main`.
macro_rules! this_test {
    () => {{
        fn mark() {}
        $crate::support::child_process::enclosing_test(std::any::type_name_of_val(&mark))
    }};
}
pub(crate) use this_test;

/// The path of a test, from the type name of the item `mark` inside it.
///
/// The type name begins with the name of the executable's crate, which libtest does not print.
pub fn enclosing_test(item: &'static str) -> &'static str {
    let (_, path) = item
        .split_once("::")
        .expect("a type name begins with its crate");
    path.strip_suffix("::mark")
        .expect("the macro defines the item `mark`")
        .trim_end_matches("::{{closure}}")
}

/// This process's role, if it is a child process.
pub fn child_role() -> Option<String> {
    std::env::var(ROLE_VARIABLE).ok()
}

/// A command that runs one test of this executable.
pub fn test_command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command
}

/// Like [`test_command`], and the child gets a role.
pub fn test_command_as(role: &str, test: &str) -> Command {
    let mut command = test_command(test);
    command.env(ROLE_VARIABLE, role);
    command
}

/// Like [`test_command_as`], on the native backend, without the variables that would override the
/// builder's binaries and version.
pub fn native_test_command(test: &str) -> Command {
    let mut child = test_command_as("without variables", test);
    child
        .env("EBBTIDE_BACKEND", "native")
        .env_remove("EBBTIDE_PG_BIN")
        .env_remove("EBBTIDE_POSTGRES");
    child
}

/// The command with its variables, started by an outer command.
pub fn run_through(outer: &[&str], program: &OsStr, inner: &Command) -> Command {
    let mut command = Command::new(outer[0]);
    command
        .args(&outer[1..])
        .arg(program)
        .args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Runs a child, asserts that its one test passed, and repeats the lines about skipped tests.
/// Returns the child's stdout.
pub fn run_passing(child: &mut Command) -> String {
    let stdout = assert_passed(&child.stdin(Stdio::null()).output().unwrap());
    stdout
        .lines()
        .filter(|line| line.starts_with(SKIPPED_PREFIX))
        .for_each(print_uncaptured);
    stdout
}

/// Asserts that the child ran its test, and that the test passed. Returns the child's stdout.
pub fn assert_passed(output: &Output) -> String {
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    // A filter that matches no test succeeds too, with `0 passed`.
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{}\n{stdout}\n{stderr}",
        output.status
    );
    stdout.into_owned()
}
