//! How a process joins a server that another process has started, or gets the right to start one.
//!
//! ```text
//!   join
//!     |  mode Files: the pointer names a serving instance --------------->  Attach::Server
//!     |  otherwise, or no such instance
//!     v
//!   wait for the start-up lock of the key
//!     |  the pointer names a serving instance, and the server answers -->  Attach::Server
//!     |  otherwise
//!     v
//!   sweep of orphans, which may take over the wanted server
//!     |  the pointer names a serving instance, and the server answers -->  Attach::Server
//!     |  otherwise
//!     v
//!   Attach::Start: the caller starts a server while it holds the lock
//! ```

use std::time::Instant;

use super::backend::{StartRequest, SupervisedBackend, VerifyMode};
use super::orphans;
use super::registry::{Registry, StartLock};
use super::running::{Origin, Server};
use crate::config::Plan;
use crate::error::Result;
use crate::process::Account;
use crate::progress::Progress;

/// The result of [`join`].
pub(super) enum Attach {
    /// A running server, on which this process now holds a lease.
    Server(Box<Server>),
    /// No server runs, and no other process starts one while this permit is held.
    Start(StartPermit),
}

/// The right to start the server of one key. It ends when this value is dropped.
pub(super) struct StartPermit {
    pub(super) progress: Progress,
    _lock: StartLock,
}

/// Joins the running server, or waits for the right to start one.
///
/// The process with that right first removes the orphans in the state directory, or takes them
/// over. `account` is the user that runs native servers.
///
/// # Errors
/// The lock is not released within the backend's limit, the state directory cannot be used, or an
/// orphan cannot be removed.
pub(super) async fn join(
    backend: &dyn SupervisedBackend,
    request: StartRequest<'_>,
    registry: &Registry,
    account: Option<Account>,
    began: Instant,
) -> Result<Attach> {
    let plan = request.plan;
    // This look needs no lock and no connection, so most processes of a run join by reading two
    // files.
    if request.mode == VerifyMode::Files
        && let Some(server) = attach(backend, registry, plan, began).await?
    {
        return Ok(Attach::Server(Box::new(server)));
    }
    let progress = Progress::start("waiting for the PostgreSQL server that another process starts");
    let lock = registry.lock(backend.start_limit(plan)).await?;
    // Repeated under the lock, because the previous holder has usually started the server
    // meanwhile. Here the server must answer, because the files can be wrong: a killed container
    // leaves them unchanged.
    if let Some(server) = attach_answering(backend, registry, plan, began).await? {
        return Ok(Attach::Server(Box::new(server)));
    }
    // Before a start, because an orphan of this key may be the wanted server. Only the process that
    // would start a server sweeps.
    orphans::sweep(request.backends, registry, plan, account).await?;
    // The sweep may have taken over the server of this key, which other processes use.
    match attach_answering(backend, registry, plan, began).await? {
        Some(server) => Ok(Attach::Server(Box::new(server))),
        None => Ok(Attach::Start(StartPermit {
            progress,
            _lock: lock,
        })),
    }
}

/// Joins the server that the pointer names, if it answers a query.
///
/// A server that does not answer is given up. Its supervisor then removes the instance, and the
/// caller may start another one.
async fn attach_answering(
    backend: &dyn SupervisedBackend,
    registry: &Registry,
    plan: &Plan,
    began: Instant,
) -> Result<Option<Server>> {
    let Some(server) = attach(backend, registry, plan, began).await? else {
        return Ok(None);
    };
    if server.answers().await {
        return Ok(Some(server));
    }
    // The supervisor of a container watches files only, and would keep the instance. When this
    // function returns, the lease of this process ends too, and the supervisor can remove the
    // instance.
    server.handle.give_up();
    Ok(None)
}

/// Joins the server that the pointer names, if its files show a serving instance.
///
/// The server is not contacted. A statement that later finds it dead fails with
/// [`ServerLost`](crate::error::ErrorKind::ServerLost).
pub(super) async fn attach(
    backend: &dyn SupervisedBackend,
    registry: &Registry,
    plan: &Plan,
    began: Instant,
) -> Result<Option<Server>> {
    let Some(pointer) = registry.read_pointer(backend.kind()) else {
        return Ok(None);
    };
    let instance = registry.instance(&pointer.instance);
    // The lease comes first: from here on, the supervisor does not end the server.
    let Some(lease) = instance.lease().await? else {
        return Ok(None);
    };
    let access = backend.access(plan, &pointer, instance, lease);
    Ok(access.map(|access| Server::with_instance(pointer, access, Origin::Reused, began)))
}
