//! Starts the shell script that makes an instance folder and outlives us.

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
    let mut command = Command::new("sh");
    // The script is an argument, so that nothing exists on disk before its supervisor does.
    command.arg("-c").arg(script).arg("ebbtide-supervisor");
    command.arg(&instance.folder).arg(registry.pointer_path());
    command.arg(linger_seconds(plan).to_string()).arg(lease.as_str());
    command.env_clear().env("PATH", plan.path.as_os_str()).env("LC_ALL", "C");
    command
}

pub(super) fn spawn(command: Command, account: Option<Account>) -> Result<Detached> {
    Detached::spawn(command, account).map_err(|error| {
        let help = Scarcity::of_start(&error).map_or("ebbtide needs a POSIX `sh` on PATH", Scarcity::help);
        Error::new(ErrorKind::ServerStart, "the server's supervisor could not be started")
            .with_source(error)
            .with_help(help)
    })
}
