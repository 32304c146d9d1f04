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
//!   Attach::Start: the caller starts a server while it holds the lock
//! ```
//!
//! The first look needs no lock and no connection, so most processes of a run join by reading two
//! files. Under the lock the server must answer, because the files can be wrong: a killed container
//! leaves them unchanged. The check is repeated under the lock because the previous holder has
//! usually started the server meanwhile.

use std::time::{Duration, Instant};

use super::registry::{Registry, StartLock};
use super::running::{Origin, Server};
use crate::config::Plan;
use crate::error::Result;
use crate::progress::Progress;

/// How much evidence a process needs before it uses a running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VerifyMode {
    /// The registry's files name a serving instance.
    Files,
    /// The server itself has answered a query.
    Answer,
}

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

/// Joins the running server, or waits up to `limit` for the right to start one.
///
/// # Errors
/// The lock is not released within `limit`, or the state directory cannot be used.
pub(super) async fn join(
    registry: &Registry,
    plan: &Plan,
    mode: VerifyMode,
    limit: Duration,
    began: Instant,
) -> Result<Attach> {
    if mode == VerifyMode::Files
        && let Some(server) = attach(registry, plan, began).await?
    {
        return Ok(Attach::Server(Box::new(server)));
    }
    let progress = Progress::start("waiting for the PostgreSQL server that another process starts");
    let lock = registry.lock(limit).await?;
    match attach_answering(registry, plan, began).await? {
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
pub(super) async fn attach_answering(
    registry: &Registry,
    plan: &Plan,
    began: Instant,
) -> Result<Option<Server>> {
    let Some(server) = attach(registry, plan, began).await? else {
        return Ok(None);
    };
    if server.answers().await {
        return Ok(Some(server));
    }
    server.handle.give_up();
    Ok(None)
}

/// Joins the server that the pointer names, if its files show a serving instance.
///
/// The server is not contacted. A statement that later finds it dead fails with
/// [`ServerLost`](crate::error::ErrorKind::ServerLost).
pub(super) async fn attach(
    registry: &Registry,
    plan: &Plan,
    began: Instant,
) -> Result<Option<Server>> {
    let Some(pointer) = registry.read_pointer() else {
        return Ok(None);
    };
    let instance = registry.instance(&pointer.instance);
    let Some(lease) = instance.lease().await? else {
        return Ok(None);
    };
    Ok(Some(Server::with_instance(
        plan,
        pointer,
        instance,
        lease,
        Origin::Reused,
        began,
    )))
}
