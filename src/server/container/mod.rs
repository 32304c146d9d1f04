//! A server in a container.
//!
//! The container watches itself (`entrypoint.sh`): without a connection for `linger` it ends and the engine removes it,
//! whatever became of the client. A supervisor on this machine (`keeper.sh`) keeps the instance directory, by which the
//! processes of a user share the server.
//!
//! | file | noun |
//! |---|---|
//! | `search`, `engine` | the engines that may be there, and the one that answers |
//! | `image` | the image, which may have to be pulled |
//! | `launch` | everything from the image to the first row |
//! | `request` | what the engine is asked to create |
//! | `cache` | the volume that keeps prepared data for the next container |
//! | `labels`, `sweep` | whose a container or volume is, and what nobody owns any more |
//! | `handle` | what keeps the container for this process |

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
use super::share::{self, Attach};
use super::state::StateDir;
use super::{Server, Sharing, VerifyMode, account, orphans};
use crate::config::Plan;
use crate::error::Result;
use engine::Engine;
use launch::Launch;

pub(super) use handle::ContainerHandle;
pub(super) use launch::KEEPER;

/// How long another process may pull an image, beside starting a server from it.
pub(super) const PULLING: Duration = Duration::from_mins(15);

/// Finds the running container for this plan, or starts one.
pub(super) async fn start(
    plan: &Plan,
    sharing: &Sharing,
    mode: VerifyMode,
    reason: &str,
) -> Result<Server> {
    let began = Instant::now();
    // The directory may be shared with servers of the native backend, which root runs as another user.
    let account = account::for_server().ok().flatten();
    let registry = Registry {
        state: StateDir::open(&plan.state_dir, account)?,
        key: ServerKey::container(plan, sharing),
    };
    let turn = match share::join(
        &registry,
        plan,
        mode,
        *plan.start_timeout.get() + PULLING,
        began,
    )
    .await?
    {
        Attach::Server(server) => return Ok(*server),
        Attach::Start(turn) => turn,
    };
    orphans::sweep(&registry, plan, account).await?;
    // The sweep may have taken over the server that others use.
    if let Some(server) = share::attach_answering(&registry, plan, began).await? {
        return Ok(server);
    }
    turn.progress.say("looking for a container engine");
    let engine = Engine::find(&plan.engine).await?;
    let reference = image::choose(&engine, plan.image.as_deref(), *plan.postgres.get()).await?;
    let image = image::require(&engine, &reference, &turn.progress).await?;
    image.check_major(*plan.postgres.get())?;
    sweep::sweep(&engine, &registry).await;
    turn.progress.say("starting PostgreSQL in a container");
    let reason = format!(
        "{reason}: {reference} on {} {} at {}",
        engine.make, engine.version, engine.endpoint.url
    );
    Launch::prepare(plan, sharing, &registry, &engine, &image)
        .await
        .run(reason, began)
        .await
}
