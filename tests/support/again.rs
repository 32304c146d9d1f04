//! This executable, run again for one of its tests: with another environment, or in another part.

use std::process::{Command, Output};

/// Set in a child that plays another part of the test that started it.
const ROLE: &str = "PART_IN_A_FAILURE";

/// The test around it, as its runner calls it: on the runner's main thread, the thread has another name.
macro_rules! here {
    () => {{
        fn mark() {}
        $crate::support::again::test_around(std::any::type_name_of_val(&mark))
    }};
}
pub(crate) use here;

/// The test in the path of an item within it, which begins with the executable's name.
pub fn test_around(item: &'static str) -> &'static str {
    let (_, path) = item.split_once("::").expect("an item of a crate");
    path.strip_suffix("::mark")
        .expect("the macro's item")
        .trim_end_matches("::{{closure}}")
}

/// The part that this process plays, when it is a child.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// A command for one test of this executable.
pub fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command
}

/// The same in a part of its own.
pub fn again_as(role: &str, test: &str) -> Command {
    let mut command = again(test);
    command.env(ROLE, role);
    command
}

/// The same on this machine's binaries, without the variables that would choose them in the builder's place.
pub fn again_natively(test: &str) -> Command {
    let mut child = again_as("without variables", test);
    child
        .env("EBBTIDE_BACKEND", "native")
        .env_remove("EBBTIDE_PG_BIN")
        .env_remove("EBBTIDE_POSTGRES");
    child
}

/// Asserts that the child has run its test, and that it passed. Returns what it said.
pub fn passed(output: &Output) -> String {
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{}\n{said}\n{complained}",
        output.status
    );
    said.into_owned()
}
