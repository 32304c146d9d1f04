//! Takes over a server whose supervisor and deputy were both killed while tests use it.
//!
//! Ending the server would fail those tests, so it gets a new supervisor.
//!
//! ```text
//!   Orphaned --- no valid lease, no file `server`, or the process is dead --->  Adoption::Refused
//!      |                                                (the sweep removes the instance)
//!      |  a new supervisor starts, with the lease `-`
//!      v
//!   waiting: the old marks are still in the files
//!      |  the new supervisor writes `owner`, then `deputy`
//!      v
//!   not Orphaned ---------------------------------------------------------->  Adoption::Adopted
//! ```
//!
//! The file `server` of the instance holds what a new supervisor needs, one item a line: the
//! backend, the mark of the server's process (`-` for a container), the linger, and the backend's
//! own arguments. The old supervisor wrote it when it started the server.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::registry::{Health, Instance, Registry};
use super::{account, supervisor};
use crate::config::Plan;
use crate::error::Result;
use crate::process::{Account, ProcessMark};
use crate::wait::Polling;

/// How long a new supervisor may take to write its mark.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// What [`adopt`] did with an orphaned instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adoption {
    /// It has a living supervisor again.
    Adopted,
    /// No process uses it, or its server does not run any more.
    Refused,
}

/// Starts a supervisor for an orphaned server that has a valid lease.
///
/// The caller holds the sweep lock: two processes at once would start two supervisors. The function
/// returns after the new supervisor has written its mark. An earlier return would let the next
/// sweep find the same orphan again.
///
/// # Errors
/// The supervisor cannot be started, or writes no mark within the timeout.
pub(super) async fn adopt(
    registry: &Registry,
    instance: &Instance,
    data: &Path,
    plan: &Plan,
) -> Result<Adoption> {
    if !instance.is_leased() {
        return Ok(Adoption::Refused);
    }
    let Some(file) = ServerFile::read(instance) else {
        return Ok(Adoption::Refused);
    };
    let command = match &file.backend {
        OrphanBackend::Native { server, bin } => {
            if !server.is_alive() {
                return Ok(Adoption::Refused);
            }
            let mut command = supervisor::takeover_command(
                supervisor::NATIVE_SCRIPT,
                instance,
                registry,
                plan,
                &file.linger,
            );
            // The data directory exists already, so no `initdb` cache is passed.
            command.arg(data).arg("").arg(bin);
            command
        }
        #[cfg(feature = "container")]
        OrphanBackend::Container { name, engine } => {
            let script = supervisor::CONTAINER_SCRIPT;
            let mut command =
                supervisor::takeover_command(script, instance, registry, plan, &file.linger);
            command.arg(name).arg(engine);
            command
        }
    };
    tracing::info!(
        instance = instance.name(),
        "taking over a server without a supervisor"
    );
    let _supervisor = supervisor::spawn(command, owner_of(instance))?;
    let mut polling = Polling::new(
        "server start: taking over a server without a supervisor",
        TAKEOVER_TIMEOUT,
    );
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
/// The new supervisor must run as that user. Root runs a native supervisor as another user, and a
/// container's supervisor as root, so the plan alone does not determine it.
fn owner_of(instance: &Instance) -> Option<Account> {
    let found = std::fs::metadata(&instance.dir).ok()?;
    (found.uid() != account::own_uid()).then(|| Account {
        uid: found.uid(),
        gid: found.gid(),
    })
}

/// The content of the file `server` of an instance.
struct ServerFile {
    backend: OrphanBackend,
    linger: String,
}

enum OrphanBackend {
    Native {
        server: ProcessMark,
        bin: String,
    },
    #[cfg(feature = "container")]
    Container {
        name: String,
        engine: String,
    },
}

impl ServerFile {
    /// Returns `None` if the file is missing or incomplete: the server was still being prepared.
    fn read(instance: &Instance) -> Option<Self> {
        let text = std::fs::read_to_string(instance.dir.join("server")).ok()?;
        let mut lines = text.lines().map(str::to_owned);
        let (kind, server, linger) = (lines.next()?, lines.next()?, lines.next()?);
        let backend = match kind.as_str() {
            "native" => OrphanBackend::Native {
                server: ProcessMark::parse(&server)?,
                bin: lines.next()?,
            },
            #[cfg(feature = "container")]
            "container" => OrphanBackend::Container {
                name: lines.next()?,
                engine: lines.next()?,
            },
            _ => return None,
        };
        Some(Self { backend, linger })
    }
}
