//! Starts the shell script that makes an instance directory and outlives us.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use super::linger_seconds;
use super::registry::{Instance, LeaseName, Registry};
use crate::config::Plan;
use crate::error::{Error, ErrorKind, Result};
use crate::process::{Account, Detached};
use crate::scarcity::Scarcity;

/// The command, to which the backend's own arguments are to be added.
pub(super) fn command(
    script: &str,
    instance: &Instance,
    registry: &Registry,
    plan: &Plan,
    lease: &LeaseName,
) -> Command {
    let linger = linger_seconds(plan).to_string();
    shell(
        script,
        instance,
        &registry.pointer_path(),
        &linger,
        lease.as_str(),
        plan.path.as_os_str(),
    )
}

/// The command for a server whose supervisor and deputy were killed: it takes the server over.
pub(super) fn successor(
    script: &str,
    instance: &Instance,
    registry: &Registry,
    plan: &Plan,
    linger: &str,
) -> Command {
    shell(
        script,
        instance,
        &registry.pointer_path_of(instance),
        linger,
        "-",
        plan.path.as_os_str(),
    )
}

fn shell(
    script: &str,
    instance: &Instance,
    pointer: &Path,
    linger: &str,
    lease: &str,
    path: &OsStr,
) -> Command {
    let mut command = Command::new("sh");
    // The script is an argument, so that nothing exists on disk before its supervisor does.
    command.arg("-c").arg(script).arg("ebbtide-supervisor");
    command
        .arg(&instance.dir)
        .arg(pointer)
        .arg(linger)
        .arg(lease);
    command.env_clear().env("PATH", path).env("LC_ALL", "C");
    command
}

pub(super) fn spawn(command: Command, account: Option<Account>) -> Result<Detached> {
    Detached::spawn(command, account).map_err(|error| {
        let help =
            Scarcity::of_start(&error).map_or("ebbtide needs a POSIX `sh` on PATH", Scarcity::help);
        Error::new(
            ErrorKind::ServerStart,
            "the server's supervisor could not be started",
        )
        .with_source(error)
        .with_help(help)
    })
}
