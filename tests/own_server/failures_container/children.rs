//! Runs a test in a child process: with other variables, as another user, or in another network.

use std::path::Path;
use std::process::Command;

use rustix::process::{getegid, geteuid};

use crate::support::child_process::{run_passing, run_through, test_command_as};

/// Variables that describe the machine. All other variables of ebbtide choose a configuration.
const KEPT_VARIABLES: [&str; 2] = ["EBBTIDE_PG_BIN", "EBBTIDE_REQUIRE"];

/// A command that runs a test in a child, without variables that choose a server or an engine.
pub(crate) fn child(test: &str) -> Command {
    let mut child = test_command_as("child", test);
    for (name, _) in std::env::vars() {
        let is_choice = ["EBBTIDE_", "DOCKER_", "CONTAINER_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        if name == "TEST_DATABASE_URL" || is_choice && !KEPT_VARIABLES.contains(&name.as_str()) {
            child.env_remove(name);
        }
    }
    child
        .env("HOME", "/nonexistent")
        .env_remove("XDG_RUNTIME_DIR");
    // Otherwise insta would run Cargo to find the workspace, and not every child can run Cargo.
    child.env("INSTA_WORKSPACE_ROOT", env!("CARGO_MANIFEST_DIR"));
    child
}

/// Runs a child until its end, asserts that it passed, and prints its output.
pub(crate) fn run_child(child: &mut Command) {
    println!("{}", run_passing(child));
}

/// The command as a user without any permission on the engine. For an ordinary user, the command is
/// unchanged. `executable` is a copy that every user can access.
pub(crate) fn as_unprivileged_user(executable: &Path, command: &Command) -> Command {
    let setpriv: &[&str] = &[
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    run_through(
        if geteuid().is_root() {
            setpriv
        } else {
            &["env"]
        },
        executable.as_os_str(),
        command,
    )
}

/// The command in a network namespace that has no connection.
///
/// # Errors
/// Why the system does not allow such a namespace.
pub(crate) fn without_network(command: &Command) -> Result<Command, String> {
    let ids = [getegid().as_raw(), geteuid().as_raw()].map(|id| id.to_string());
    let map = [
        format!("--map-group={}", ids[0]),
        format!("--map-user={}", ids[1]),
    ];
    // An ordinary user needs a user namespace to create a network namespace, and keeps the same id.
    let unshare: &[&str] = if geteuid().is_root() {
        &["unshare", "--net"]
    } else {
        &["unshare", "--user", "--net", &map[0], &map[1]]
    };
    let tried = Command::new(unshare[0])
        .args(&unshare[1..])
        .arg("true")
        .output();
    match tried {
        Ok(output) if output.status.success() => {
            Ok(run_through(unshare, command.get_program(), command))
        }
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("unshare: {error}")),
    }
}
