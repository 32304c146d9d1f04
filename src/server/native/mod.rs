//! A server from binaries on this machine.
//!
//! ```text
//!   start
//!     |  share::join finds a serving instance, or one process gets the start permit
//!     v
//!   sweep of orphans, which may take over the wanted server  ---- it answers ---->  use it
//!     v
//!   a serving instance of this key without a pointer  ----------- it answers ---->  use it
//!     v
//!   attempt: supervisor -> instance directory -> `initdb` or cache -> data -> postmaster
//!     |      (if the supervisor is killed meanwhile: sweep and try again, at most three times)
//!     |  the first query is answered
//!     v
//!   write the pointer, release the start permit
//! ```
//!
//! | module | content |
//! |---|---|
//! | `binaries` | the search for `postgres` and `initdb` |
//! | `launch`, `start_failure` | one attempt to start a server, and why it failed |
//! | `memory`, `free_space` | where the data goes, and whether there is room for it |
//! | `handle` | what keeps the server running for this process |
//!
//! The client never creates a file of the server, except the pointer. It starts the supervisor,
//! reads its standard error until the preparation is done, and then polls the server.

mod binaries;
mod free_space;
mod handle;
mod launch;
pub(super) mod memory;
mod start_failure;

use std::time::{Duration, Instant};

use super::registry::{Registry, ServerKey};
use super::running::Server;
use super::share::{self, Attach, VerifyMode};
use super::sharing::Sharing;
use super::state::{self, StateDir};
use super::{account, orphans};
use crate::config::Plan;
use crate::error::{Error, ErrorKind, Result};
use launch::{Attempt, Launch};

pub(super) use handle::NativeHandle;

/// How long the output of `initdb` is kept after its last use.
const CACHE_MAX_AGE: Duration = Duration::from_hours(30 * 24);
/// How many times a server is started if its supervisor is killed during each start.
const START_ATTEMPTS: usize = 3;

/// Finds the running server for this plan, or starts one.
///
/// # Errors
/// The state directory or the binaries cannot be used, or the server does not start.
pub(super) async fn start(
    plan: &Plan,
    sharing: &Sharing,
    mode: VerifyMode,
    reason: &str,
) -> Result<Server> {
    let began = Instant::now();
    let account = account::for_server()?;
    state::check_for_sockets(&plan.state_dir)?;
    let state = StateDir::open(&plan.state_dir, account)?;
    let registry = Registry {
        state,
        key: ServerKey::native(plan, sharing),
    };
    let permit = match share::join(&registry, plan, mode, *plan.start_timeout.get(), began).await? {
        Attach::Server(server) => return Ok(*server),
        Attach::Start(permit) => permit,
    };
    orphans::sweep(&registry, plan, account).await?;
    // The sweep may have taken over the server of this key, which other processes use.
    if let Some(server) = share::attach_answering(&registry, plan, began).await? {
        return Ok(server);
    }
    prune_cache(&registry.state).await?;
    permit.progress.set_step("starting PostgreSQL");
    if let Some(server) = launch::attach_unpublished(&registry, plan, began).await? {
        return Ok(server);
    }
    for _ in 0..START_ATTEMPTS {
        match Launch::prepare(plan, &registry, account, reason)?
            .run(began)
            .await?
        {
            Attempt::Server(server) => return Ok(*server),
            Attempt::SupervisorKilled => {
                tracing::warn!("the supervisor of a server was killed while it started");
            }
        }
        // If the deputy was killed too, the sweep removes what the attempt left.
        orphans::sweep(&registry, plan, account).await?;
    }
    Err(Error::new(
        ErrorKind::ServerStart,
        format!(
            "the supervisor of the PostgreSQL server was killed in each of {START_ATTEMPTS} \
             attempts to start the server"
        ),
    )
    .with_help(
        "the supervisor is a process `sh` of this user: find what kills it, for example the kernel \
         when memory is short (`dmesg`), and run again",
    ))
}

/// Removes cached `initdb` output that has not been copied for a month.
///
/// Most of it belongs to PostgreSQL versions that are no longer installed.
async fn prune_cache(state: &StateDir) -> Result<()> {
    for entry in std::fs::read_dir(state.cache())
        .into_iter()
        .flatten()
        .flatten()
    {
        // The supervisor touches the cache entry that it copies, so its age is the time of no use.
        let used = entry.metadata().and_then(|metadata| metadata.modified());
        if used.is_ok_and(|used| used.elapsed().is_ok_and(|age| age > CACHE_MAX_AGE)) {
            orphans::remove(&entry.path()).await?;
        }
    }
    Ok(())
}
