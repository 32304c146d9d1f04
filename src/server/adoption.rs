//! Takes over a server whose supervisor and deputy were both killed while tests use it.
//!
//! Ending it would end those tests. The instance's file `server` holds what a new supervisor needs: the backend, the mark
//! of the server's process (`-` for a container), the linger, and the backend's own arguments, one a line.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::registry::{Health, Instance, Registry};
use super::{account, native, supervisor};
use crate::config::Plan;
use crate::error::Result;
use crate::process::{Account, ProcessMark};
use crate::wait::Patience;

/// How long a new supervisor may take to write its mark.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// What came of an orphaned instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adoption {
    Adopted,
    /// Nothing uses it, or there is no server any more.
    Refused,
}

/// Starts a supervisor for an orphaned server that has a valid lease. The caller holds the sweep lock.
///
/// # Errors
/// The supervisor cannot be started, or does not begin its work.
pub(super) async fn adopt(
    registry: &Registry,
    instance: &Instance,
    data: &Path,
    plan: &Plan,
) -> Result<Adoption> {
    if !instance.is_leased() {
        return Ok(Adoption::Refused);
    }
    let Some(charge) = Charge::read(instance) else {
        return Ok(Adoption::Refused);
    };
    let command = match &charge.backend {
        OrphanBackend::Native { server, bin } => {
            if !server.is_alive() {
                return Ok(Adoption::Refused);
            }
            let mut command =
                supervisor::successor(native::SUPERVISOR, instance, registry, plan, &charge.linger);
            // It prepares nothing, so it needs no `initdb` cache.
            command.arg(data).arg("").arg(bin);
            command
        }
        #[cfg(feature = "container")]
        OrphanBackend::Container { name, engine } => {
            let script = super::container::KEEPER;
            let mut command =
                supervisor::successor(script, instance, registry, plan, &charge.linger);
            command.arg(name).arg(engine);
            command
        }
    };
    tracing::info!(
        instance = instance.name(),
        "taking over a server without a supervisor"
    );
    let _supervisor = supervisor::spawn(command, owner_of(instance))?;
    let mut patience = Patience::new(
        "server start: taking over a server without a supervisor",
        TAKEOVER_TIMEOUT,
    );
    while instance.health() == Health::Orphaned {
        patience
            .pause(format!(
                "{} has no living supervisor",
                instance.dir.display()
            ))
            .await?;
    }
    Ok(Adoption::Adopted)
}

/// The user whose directory it is. Root runs PostgreSQL as another user, and a container's keeper as itself.
fn owner_of(instance: &Instance) -> Option<Account> {
    let found = std::fs::metadata(&instance.dir).ok()?;
    (found.uid() != account::own_uid()).then(|| Account {
        uid: found.uid(),
        gid: found.gid(),
    })
}

/// The file `server` of an instance.
struct Charge {
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

impl Charge {
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
