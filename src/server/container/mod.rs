//! A server in a container.
//!
//! Three programs cooperate, because each of them can be killed at any moment:
//!
//! | program | runs | duty |
//! |---|---|---|
//! | the client (`launch`, `handle`) | in a test process | creates the container; has a lease |
//! | the supervisor (`keeper.sh`) | on this machine | owns the instance directory |
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
//! | `handle` | what keeps the container running for this process |

mod cache;
mod engine;
mod handle;
mod image;
mod labels;
mod launch;
mod request;
mod search;
mod sweep;

use std::time::{Duration, Instant};

use super::registry::{Registry, ServerKey};
use super::running::Server;
use super::share::{self, Attach, VerifyMode};
use super::sharing::Sharing;
use super::state::StateDir;
use super::{account, orphans};
use crate::config::Plan;
use crate::error::Result;
use engine::Engine;
use launch::Launch;

pub(super) use handle::ContainerHandle;

/// How long a process waits while another one pulls an image, in addition to the start timeout.
pub(super) const IMAGE_PULL_TIMEOUT: Duration = Duration::from_mins(15);

/// Finds the running container for this plan, or starts one.
///
/// # Errors
/// No engine answers, the image is not available, or the server does not start.
pub(super) async fn start(
    plan: &Plan,
    sharing: &Sharing,
    mode: VerifyMode,
    reason: &str,
) -> Result<Server> {
    let began = Instant::now();
    // The state directory may also contain servers of the native backend. Root runs those as
    // another user.
    let account = account::for_server().ok().flatten();
    let registry = Registry {
        state: StateDir::open(&plan.state_dir, account)?,
        key: ServerKey::container(plan, sharing),
    };
    let turn = match share::join(
        &registry,
        plan,
        mode,
        *plan.start_timeout.get() + IMAGE_PULL_TIMEOUT,
        began,
    )
    .await?
    {
        Attach::Server(server) => return Ok(*server),
        Attach::Start(turn) => turn,
    };
    orphans::sweep(&registry, plan, account).await?;
    // The sweep gives an orphaned server in use a new supervisor. It may be the server of this key.
    if let Some(server) = share::attach_answering(&registry, plan, began).await? {
        return Ok(server);
    }
    turn.progress.set_step("looking for a container engine");
    let engine = Engine::find(&plan.engine).await?;
    let reference = image::choose(&engine, plan.image.as_deref(), *plan.postgres.get()).await?;
    let image = image::require(&engine, &reference, &turn.progress).await?;
    image.check_major(*plan.postgres.get())?;
    sweep::sweep(&engine, &registry).await;
    turn.progress.set_step("starting PostgreSQL in a container");
    let reason = format!(
        "{reason}: {reference} on {} {} at {}",
        engine.kind, engine.version, engine.endpoint.url
    );
    Launch::prepare(plan, sharing, &registry, &engine, &image)
        .await
        .run(reason, began)
        .await
}
