//! The same test in another process: with other variables, as another user, or in another network.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{getegid, geteuid};

use crate::support::again::{again_as, passed};
use crate::support::skip::{SKIPPED, say};

/// What the machine has and a test may need, as opposed to what somebody has chosen.
const KEPT: [&str; 2] = ["EBBTIDE_PG_BIN", "EBBTIDE_REQUIRE"];

/// The test again, told of no server and no engine but what is added.
pub(crate) fn child(test: &str) -> Command {
    let mut child = again_as("child", test);
    for (name, _) in std::env::vars() {
        let is_choice = ["EBBTIDE_", "DOCKER_", "CONTAINER_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        if name == "TEST_DATABASE_URL" || is_choice && !KEPT.contains(&name.as_str()) {
            child.env_remove(name);
        }
    }
    child
        .env("HOME", "/nonexistent")
        .env_remove("XDG_RUNTIME_DIR");
    // The snapshots' tool would ask Cargo, which not every child can.
    child.env("INSTA_WORKSPACE_ROOT", env!("CARGO_MANIFEST_DIR"));
    child
}

/// Lets a child play its part to the end.
pub(crate) fn play(child: &mut Command) {
    let said = passed(&child.stdin(Stdio::null()).output().unwrap());
    said.lines()
        .filter(|line| line.starts_with(SKIPPED))
        .for_each(say);
    println!("{said}");
}

/// The command as a user whom no engine knows; for an ordinary user, as they are. A copy of this executable lies where
/// everybody can reach it, which the build's directory need not be.
pub(crate) fn as_nobody(executable: &Path, command: &Command) -> Command {
    let nobody: &[&str] = &[
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    through(
        if geteuid().is_root() {
            nobody
        } else {
            &["env"]
        },
        executable.as_os_str(),
        command,
    )
}

/// The command in a network of its own, which leads nowhere, or why that cannot be.
pub(crate) fn cut_off(command: &Command) -> Result<Command, String> {
    let ids = [getegid().as_raw(), geteuid().as_raw()].map(|id| id.to_string());
    let map = [
        format!("--map-group={}", ids[0]),
        format!("--map-user={}", ids[1]),
    ];
    // An ordinary user is themselves in a user namespace of their own.
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
            Ok(through(unshare, command.get_program(), command))
        }
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("unshare: {error}")),
    }
}

/// The command, with its variables, started by another one.
pub(crate) fn through(outer: &[&str], program: &OsStr, inner: &Command) -> Command {
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
