//! How a process comes to the server that others have started, or to its turn to start it.

use std::time::{Duration, Instant};

use super::registry::{Registry, StartLock};
use super::{Origin, Server, VerifyMode};
use crate::config::Plan;
use crate::error::Result;
use crate::progress::Progress;

/// What a newcomer finds.
pub(super) enum Attach {
    Server(Box<Server>),
    /// Nobody has a server, and nobody else starts one meanwhile.
    Start(StartPermit),
}

/// The right to start the server. It ends with the value.
pub(super) struct StartPermit {
    pub(super) progress: Progress,
    _lock: StartLock,
}

/// Uses the running server, or waits for the turn to start one, for as long as `limit`.
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

/// Uses the server that the pointer names, if it answers.
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
    server.give_up();
    Ok(None)
}

/// Uses the server that the pointer names, believing the files alone.
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
