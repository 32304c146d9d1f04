//! Starts the shell script that makes an instance directory and outlives the client.
//!
//! The script is `instance.sh`, followed by the backend's part, its `supervise.sh`. It is a shell
//! script because a child process must outlive the test binary, and a library has no executable of
//! its own to start. The fourth argument, the lease, selects what the script does:
//!
//! ```text
//!   command          lease PID.START.COUNT   make the instance, then watch it
//!   takeover_command lease `-`               take over an instance that exists, then watch it
//! ```

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use super::registry::{Instance, LeaseName, Registry};
use crate::config::Plan;
use crate::error::{Error, ErrorKind, Result};
use crate::process::{Account, Detached};
use crate::scarcity::Scarcity;

/// The command for a new server. The caller adds the backend's own arguments.
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

/// The command that takes over a server whose supervisor and deputy were both killed.
///
/// `linger` is the one with which the server was started, not the one of this process's plan. The
/// pointer is that of the instance's own key: a sweep also finds instances of other keys.
pub(super) fn takeover_command(
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
        // No lease: the users of the server have written their own.
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
    // The script is an argument and not a file: a file would be left if this process were killed
    // before the supervisor runs.
    command.arg("-c").arg(script).arg("ebbtide-supervisor");
    command
        .arg(&instance.dir)
        .arg(pointer)
        .arg(linger)
        .arg(lease);
    // The server outlives this process and serves others, so no variable of this process may reach
    // it. `Scarcity` and `disk` recognise the messages of the C locale.
    command.env_clear().env("PATH", path).env("LC_ALL", "C");
    command
}

/// Starts a supervisor as a detached process, as the server's user if there is an account.
///
/// # Errors
/// There is no `sh`, or the system has no process left.
pub(super) fn spawn(command: Command, account: Option<Account>) -> Result<Detached> {
    Detached::spawn(command, account).map_err(|error| {
        let help = Scarcity::of_start(&error)
            .map_or("make a POSIX shell `sh` available on PATH", Scarcity::help);
        Error::new(
            ErrorKind::ServerStart,
            "the server's supervisor could not be started",
        )
        .with_source(error)
        .with_help(help)
    })
}

/// The plan's linger, as the scripts take it.
pub(super) fn linger_seconds(plan: &Plan) -> u64 {
    // The supervisor counts whole seconds. Rounded up, so that no server ends before its linger.
    plan.linger
        .as_millis()
        .div_ceil(1000)
        .try_into()
        .unwrap_or(u64::MAX)
}
