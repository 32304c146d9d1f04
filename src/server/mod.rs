//! Starts servers, shares them between processes, and removes them.
//!
//! | file | noun |
//! |---|---|
//! | `auto` | the choice between a container and local binaries |
//! | `native` | a server from local binaries |
//! | `account`, `settings` | the user that runs a server, and the server's settings |
//! | `disk` | how a full disk is recognised |
//! | `container` | a server from an image |
//! | `external` | a server that the user runs |
//! | `running`, `handle`, `identification` | a server in use, what its backend does for it, and its first query |
//! | `share`, `registry`, `state` | one server for all processes with the same settings |
//! | `sharing` | whether a server is shared or dedicated to one fingerprint |
//! | `supervisor`, `instance.sh`, `{native,container}/keeper.sh` | what outlives the client |
//! | `log` | the server's log entries about the sessions of one database |
//! | `orphans`, `pointers`, `adoption` | removal or takeover of servers without a supervisor |
//!
//! A test process is a client here. It creates nothing but its lease: every directory and every
//! process of a server belongs to the supervisor, so a client can be killed at any moment. The
//! states of an instance are drawn at the head of `registry`.

mod account;
mod adoption;
mod auto;
#[cfg(feature = "container")]
mod container;
mod disk;
mod external;
mod handle;
mod identification;
mod log;
mod native;
mod orphans;
mod pointers;
mod registry;
mod running;
mod settings;
mod share;
mod sharing;
mod state;
mod supervisor;

use crate::config::{Backend, Plan};
use crate::error::Result;
#[cfg(not(feature = "container"))]
use crate::error::{Error, ErrorKind};

pub(crate) use account::own_uid;
pub(crate) use log::LogEntry;
pub(crate) use running::{Origin, Server};
pub(crate) use share::VerifyMode;
pub(crate) use sharing::{Cause, Dedication, Sharing};

impl Server {
    /// Finds or starts the server that the plan describes.
    pub(crate) async fn start(plan: &Plan, sharing: &Sharing, mode: VerifyMode) -> Result<Self> {
        let mut server = Self::find(plan, sharing, mode).await?;
        server.announce(sharing, plan);
        Ok(server)
    }

    async fn find(plan: &Plan, sharing: &Sharing, mode: VerifyMode) -> Result<Self> {
        let reason = || plan.backend.source.to_string();
        match plan.backend.get() {
            Backend::Auto => auto::start(plan, sharing, mode).await,
            Backend::Native => native::start(plan, sharing, mode, &reason()).await,
            #[cfg(feature = "container")]
            Backend::Container => container::start(plan, sharing, mode, &reason()).await,
            #[cfg(not(feature = "container"))]
            Backend::Container => Err(Error::new(
                ErrorKind::BackendUnavailable,
                "the container backend is not part of this build of ebbtide",
            )
            .with_help("enable ebbtide's feature `container`, or set EBBTIDE_BACKEND=native")),
            Backend::External => external::start(plan, sharing, &reason()).await,
        }
    }
}
