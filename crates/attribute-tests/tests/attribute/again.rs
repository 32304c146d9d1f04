//! This executable, run again for one of its tests.
//!
//! A test that must fail stands within the test that says so: there, no runner finds it. The test around it runs
//! itself again in a child, which calls it.

use std::process::{Command, Output};

/// Set in a child.
const CHILD: &str = "EBBTIDE_ATTRIBUTE_CHILD";

/// The test around it, as its runner calls it.
macro_rules! here {
    () => {{
        fn mark() {}
        $crate::again::test_around(std::any::type_name_of_val(&mark))
    }};
}
pub(crate) use here;

/// The test in the path of an item within it, which begins with the executable's name.
pub(crate) fn test_around(item: &'static str) -> &'static str {
    let (_, path) = item.split_once("::").expect("an item of a crate");
    path.strip_suffix("::mark").expect("the macro's item")
}

pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs a part of a test in a child, and returns what came of it; within the child, nothing.
pub(crate) fn played(test: &str, part: impl FnOnce()) -> Option<Said> {
    if is_child() {
        part();
        return None;
    }
    Some(child(test))
}

/// The same in a child with more variables.
pub(crate) fn played_with(
    variables: &[(&str, &str)],
    test: &str,
    part: impl FnOnce(),
) -> Option<Said> {
    if is_child() {
        part();
        return None;
    }
    Some(child_with(variables, test))
}

/// Runs one test of this executable.
pub(crate) fn child(test: &str) -> Said {
    child_with(&[], test)
}

fn child_with(variables: &[(&str, &str)], test: &str) -> Said {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env_remove("RUST_BACKTRACE");
    // Databases that it keeps are looked at right away.
    command.env("EBBTIDE_KEEP_FOR", "30s");
    command.envs(variables.iter().copied());
    Said(command.output().unwrap())
}

/// What a child has said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said(Output);

impl Said {
    /// Asserts that one test ran and passed.
    #[track_caller]
    pub(crate) fn passed(&self) -> &Self {
        assert!(
            self.0.status.success()
                && self
                    .stdout()
                    .contains("\ntest result: ok. 1 passed; 0 failed;"),
            "{self}"
        );
        self
    }

    /// Asserts that one test ran and failed as tests do.
    #[track_caller]
    pub(crate) fn failed(&self) -> &Self {
        assert_eq!(self.0.status.code(), Some(101), "{self}");
        assert!(
            self.stdout()
                .contains("\ntest result: FAILED. 0 passed; 1 failed;"),
            "{self}"
        );
        self
    }

    /// Asserts that it has said this on stderr.
    #[track_caller]
    pub(crate) fn tells(&self, text: &str) -> &Self {
        assert!(
            self.stderr().contains(text),
            "{text:?} is missing in:\n{self}"
        );
        self
    }

    /// Asserts that it has not.
    #[track_caller]
    pub(crate) fn hides(&self, text: &str) -> &Self {
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

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}\n{}", self.0.status, self.stdout(), self.stderr())
    }
}
