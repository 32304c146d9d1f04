//! Takes over a server whose supervisor and deputy were both killed while tests use it.
//!
//! The end of the server would fail those tests, so the server gets a new supervisor.
//!
//! ```text
//!   Orphaned --- no valid lease, no file `server`, or the server is dead --->  Adoption::Refused
//!      |                                                (the sweep removes the instance)
//!      |  a new supervisor starts, with the lease `-`
//!      v
//!   waiting: the old marks are still in the files
//!      |  the new supervisor writes `owner`, then `deputy`
//!      v
//!   not Orphaned ---------------------------------------------------------->  Adoption::Adopted
//! ```
//!
//! The file `server` of the instance holds what a new supervisor needs. The backend that it names
//! checks whether the server still runs, and supplies the script and its arguments.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use super::backend::{Backends, supervised};
use super::registry::{Health, Instance, Registry};
use super::server_file::ServerFile;
use super::{account, supervisor};
use crate::config::Plan;
use crate::error::Result;
use crate::process::Account;
use crate::wait::Polling;

/// How long a new supervisor may take to write its mark.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// What [`adopt`] did with an orphaned instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adoption {
    /// It has a living supervisor again.
    Adopted,
    /// No process uses the instance, or its server does not run any more.
    Refused,
}

/// Starts a supervisor for an orphaned server that has a valid lease.
///
/// The caller holds the sweep lock: two processes at once would start two supervisors.
///
/// # Errors
/// The supervisor cannot be started, or writes no mark within the timeout.
pub(super) async fn adopt(
    backends: Backends,
    registry: &Registry,
    instance: &Instance,
    plan: &Plan,
) -> Result<Adoption> {
    if !instance.is_leased() {
        return Ok(Adoption::Refused);
    }
    // Without the file, the supervisor was killed before it had finished the server's start.
    let Some(file) = ServerFile::read(instance) else {
        return Ok(Adoption::Refused);
    };
    let takeover = supervised(backends)
        .find(|backend| backend.kind().to_string() == file.backend)
        .and_then(|backend| backend.takeover(registry, instance, &file));
    // The server has ended too, or its backend is not part of this build.
    let Some(takeover) = takeover else {
        return Ok(Adoption::Refused);
    };
    let mut command =
        supervisor::takeover_command(takeover.script, instance, registry, plan, &file.linger);
    command.args(takeover.arguments);
    tracing::info!(
        instance = instance.name(),
        "taking over a server without a supervisor"
    );
    // Dropping the value does not end the supervisor, which outlives this process.
    let _supervisor = supervisor::spawn(command, owner_of(instance))?;
    let mut polling = Polling::new(
        "server start: taking over a server without a supervisor",
        TAKEOVER_TIMEOUT,
    );
    // `health` reads the marks of the killed shells until the new supervisor has replaced `owner`.
    // An earlier return would let the next sweep find the same orphan again. If the server ends
    // meanwhile, the supervisor removes the instance, and `Gone` ends the loop too.
    while instance.health() == Health::Orphaned {
        polling
            .pause(format!(
                "{} has no living supervisor",
                instance.dir.display()
            ))
            .await?;
    }
    Ok(Adoption::Adopted)
}

/// The user that owns the instance directory, if it is not the current one.
///
/// The new supervisor must run as that user.
fn owner_of(instance: &Instance) -> Option<Account> {
    // The plan alone does not determine the user: root runs a native supervisor as another user,
    // and a container's supervisor as root.
    let found = std::fs::metadata(&instance.dir).ok()?;
    (found.uid() != account::own_uid()).then(|| Account {
        uid: found.uid(),
        gid: found.gid(),
    })
}
