//! A server in a container.
//!
//! Three programs cooperate, because each of them can be killed at any moment:
//!
//! | program | runs | duty |
//! |---|---|---|
//! | the client (`launch`, `handle`) | in a test process | creates the container; has a lease |
//! | the supervisor (`supervise.sh`) | on this machine | owns the instance directory |
//! | the entrypoint (`entrypoint.sh`) | in the container | starts PostgreSQL; ends the container |
//!
//! The container may run on another machine, where the supervisor cannot watch it. So the container
//! ends itself when it has no connection for the linger, and the engine removes it (`AutoRemove`).
//! The supervisor's instance directory is what the processes of a user share: leases, lane files
//! and the pointer.
//!
//! ```text
//! container          instance directory       what a client killed here leaves, and who removes it
//!
//! (none)             made by the supervisor   a directory: the supervisor, after the linger
//!    |
//!    |               file `creating` written
//!    | create
//!    v
//! created                                     a container that never runs: the supervisor,
//!    |                                        or the next start by its labels (`sweep`)
//!    | start
//!    v
//! starting                                    a running container: the supervisor, or the
//!    |                                        entrypoint after the linger
//!    | first answer  `creating` deleted,
//!    v               pointer written
//! serving            `serving`                nothing: other processes find and use the server
//!    |
//!    |               no lease for the linger: renamed to `retiring`, then all is deleted
//!    |
//!    | no connection for the linger and two seconds more
//!    v
//! shutting down                               nothing
//!    |
//!    v
//! removed by the engine
//! ```
//!
//! The supervisor and the entrypoint decide independently. The supervisor decides first, because
//! the entrypoint waits two seconds longer. So a client that gets a lease finds the container
//! running, if it connects within that time. A process that does not connect for long opens an idle
//! connection for the container to see (`handle`).
//!
//! | module | content |
//! |---|---|
//! | `search`, `engine` | the possible container engines, and the one that answers |
//! | `image` | the image, which may have to be pulled |
//! | `launch` | everything from the image to the first answer of the server |
//! | `request` | the container as the engine must create it |
//! | `cache` | the volume that keeps prepared data for the next container |
//! | `labels`, `sweep` | the owner of a container or volume, and the removal of abandoned ones |
//! | `handle`, `published_port` | what keeps the container running for this process, and its address |

mod cache;
mod engine;
mod handle;
mod image;
mod labels;
mod launch;
mod published_port;
mod request;
mod search;
mod sweep;

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::account;
use super::backend::{Backend, StartRequest, SupervisedBackend, Takeover};
use super::handle::ServerAccess;
use super::registry::{Instance, Pointer, Registry, ServerLease};
use super::running::Server;
use super::server_file::ServerFile;
use super::share::{self, Attach};
use super::state::StateDir;
use crate::config::{Backend as Kind, Plan};
use crate::error::Result;
use crate::names::PartsHash;
use engine::Engine;
use handle::ContainerHandle;
use launch::Launch;
use published_port::PublishedPort;

/// How long a process waits while another one pulls an image, in addition to the start timeout.
const IMAGE_PULL_TIMEOUT: Duration = Duration::from_mins(15);

/// The backend `container`.
#[derive(Debug)]
pub(super) struct Container;

impl Backend for Container {
    fn kind(&self) -> Kind {
        Kind::Container
    }

    fn start<'a>(&'a self, request: StartRequest<'a>) -> BoxFuture<'a, Result<Server>> {
        Box::pin(start(request))
    }

    fn source(&self) -> &'static str {
        "a container engine"
    }

    fn start_limit(&self, plan: &Plan) -> Duration {
        *plan.start_timeout.get() + IMAGE_PULL_TIMEOUT
    }

    fn supervised(&self) -> Option<&dyn SupervisedBackend> {
        Some(self)
    }
}

impl SupervisedBackend for Container {
    /// Facts outside the plan, such as which of several engines answers, are not part of the key.
    /// They are the same for all processes of a user.
    fn hash_into(&self, plan: &Plan, hash: &mut PartsHash) {
        hash.list("image", plan.image.as_slice());
        plan.engine.hash_into(hash);
        hash.part("cache", plan.cache.to_string());
    }

    fn access(
        &self,
        plan: &Plan,
        pointer: &Pointer,
        instance: Instance,
        lease: ServerLease,
    ) -> Option<ServerAccess> {
        // A pointer in another form counts as a missing one: the lease ends, and the caller starts
        // a server.
        let port = PublishedPort::from_json(&pointer.address)?;
        Some(ContainerHandle::access(
            plan, pointer, port, instance, lease,
        ))
    }

    fn takeover(&self, _: &Registry, _: &Instance, server: &ServerFile) -> Option<Takeover> {
        // Whether the container still runs is not checked here. A client to which the server does
        // not answer deletes `serving` (`give_up`). If the only lease is one with a term, the new
        // supervisor queries the engine (`ended` in supervise.sh).
        let [name, engine, ..] = server.arguments.as_slice() else {
            return None;
        };
        Some(Takeover {
            script: launch::SCRIPT,
            arguments: vec![name.into(), engine.into()],
        })
    }
}

/// Finds the running container for this plan, or starts one.
///
/// # Errors
/// No engine answers, the image is not available, or the server does not start.
async fn start(request: StartRequest<'_>) -> Result<Server> {
    let began = Instant::now();
    let plan = request.plan;
    // The state directory may also contain servers of the native backend. Root runs those as
    // another user.
    let account = account::for_server().ok().flatten();
    let registry = Registry {
        state: StateDir::open(&plan.state_dir, account)?,
        key: Container.key(plan, request.sharing),
    };
    let permit = match share::join(&Container, request, &registry, account, began).await? {
        Attach::Server(server) => return Ok(*server),
        // The permit holds the start-up lock until the end of this function. A process that then
        // gets the lock finds the pointer. If the start has failed, that process makes an attempt
        // of its own.
        Attach::Start(permit) => permit,
    };
    // Only now: most processes join a running server, which needs no engine.
    permit.progress.set_step("looking for a container engine");
    let engine = Engine::find(&plan.engine).await?;
    let reference = image::choose(&engine, plan.image.as_deref(), *plan.postgres.get()).await?;
    let image = image::require(&engine, &reference, &permit.progress).await?;
    image.check_major(*plan.postgres.get())?;
    // The lock is that of one key. A process with another key may create a container at this
    // moment. The sweep spares a container that does not run yet while its client lives.
    sweep::sweep(&engine, &registry).await;
    permit
        .progress
        .set_step("starting PostgreSQL in a container");
    let reason = format!(
        "{}: {reference} on {} {} at {}",
        request.reason, engine.kind, engine.version, engine.endpoint.url
    );
    Launch::prepare(plan, request.sharing, &registry, &engine, &image)
        .await
        .run(reason, began)
        .await
}
