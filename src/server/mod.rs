//! Starts servers, shares them between processes, and removes them.
//!
//! | file | noun |
//! |---|---|
//! | `backend` | the interface of a backend: how it finds or starts a server |
//! | `handle` | the interface of a running server: what its backend does for it |
//! | `native`, `container`, `external` | the backends: local binaries, an image, a server of the user |
//! | `auto` | the choice between the backends that start a server |
//! | `running`, `identification` | a server in use, and its first query |
//! | `copying`, `memory_left` | how a server copies a database, and whether memory is left for it |
//! | `share`, `registry`, `state` | one server for all processes with the same settings |
//! | `sharing` | whether a server is shared or dedicated to one fingerprint |
//! | `supervisor`, `instance.sh`, `*/supervise.sh` | what outlives the client |
//! | `account`, `settings`, `disk` | the user and the settings of a server, and its full disk |
//! | `log` | the server's log entries about the sessions of one database |
//! | `orphans`, `pointers` | removal of servers without a supervisor |
//! | `adoption`, `server_file` | takeover of such a server, and what it needs |
//!
//! A new backend is one directory here, its `mod` line, and its entry in [`BACKENDS`]; besides its
//! public name in `config/value.rs`.
//!
//! A test process is a client here. It creates nothing but its lease. Every directory and every
//! process of a server belongs to the supervisor, so a client can be killed at any moment. The
//! states of an instance are drawn at the head of `registry`.

mod account;
mod adoption;
mod auto;
mod backend;
#[cfg(feature = "container")]
mod container;
mod copying;
mod disk;
mod external;
mod handle;
mod identification;
mod log;
mod memory_left;
mod native;
mod orphans;
mod pointers;
mod registry;
mod running;
mod server_file;
mod settings;
mod share;
mod sharing;
mod state;
mod supervisor;

use crate::config::{Backend as Kind, Plan};
use crate::error::{Error, ErrorKind, Result};
use backend::{Backend, Backends, StartRequest};

pub(crate) use account::own_uid;
pub(crate) use backend::VerifyMode;
pub(crate) use log::LogEntry;
pub(crate) use running::{Origin, Server};
pub(crate) use sharing::{Cause, Dedication, Sharing};

/// The backends of this build, in the order in which `auto` tries them.
const BACKENDS: Backends = &[
    #[cfg(feature = "container")]
    &container::Container,
    &native::Native,
    &external::External,
];

impl Server {
    /// Finds or starts the server that the plan describes.
    pub(crate) async fn start(plan: &Plan, sharing: &Sharing, mode: VerifyMode) -> Result<Self> {
        let request = StartRequest {
            plan,
            sharing,
            mode,
            reason: &plan.backend.source.to_string(),
            backends: BACKENDS,
        };
        let mut server = match *plan.backend.get() {
            Kind::Auto => auto::start(request).await?,
            kind => named(kind)?.start(request).await?,
        };
        server.announce(sharing, plan);
        server.database_owner.clone_from(plan.owner.get());
        Ok(server)
    }
}

fn named(kind: Kind) -> Result<&'static dyn Backend> {
    let found = BACKENDS.iter().find(|backend| backend.kind() == kind);
    found.copied().ok_or_else(|| {
        Error::new(
            ErrorKind::BackendUnavailable,
            format!("the {kind} backend is not part of this build of ebbtide"),
        )
        .with_help(format!(
            "enable ebbtide's feature `{kind}`, or set EBBTIDE_BACKEND={}",
            Kind::Native
        ))
    })
}
