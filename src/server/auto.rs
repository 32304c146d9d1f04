//! The choice between a container and this machine's binaries.

use std::time::Instant;

use super::registry::{Registry, ServerKey};
use super::state::StateDir;
use super::{Server, Sharing, VerifyMode, account, native, share};
use crate::config::Plan;
#[cfg(feature = "container")]
use crate::error::Error;
use crate::error::{ErrorKind, Result};

/// A container if an engine answers and has the image or gets it, else this machine's binaries.
///
/// # Errors
/// Both are impossible: one error that lists what was tried, and what would mend each.
pub(super) async fn start(plan: &Plan, sharing: &Sharing, mode: VerifyMode) -> Result<Server> {
    if mode == VerifyMode::Files
        && let Some(server) = running(plan, sharing).await?
    {
        return Ok(server);
    }
    choose(plan, sharing, mode).await
}

/// A server that an earlier choice led to: asking an engine takes longer than asking the registry.
async fn running(plan: &Plan, sharing: &Sharing) -> Result<Option<Server>> {
    let began = Instant::now();
    // Without a user to run binaries as, a container may still serve.
    let account = match account::for_server() {
        Err(error) if error.kind() == ErrorKind::BackendUnavailable => return Ok(None),
        other => other?,
    };
    let state = StateDir::open(&plan.state_dir, account)?;
    #[cfg(feature = "container")]
    let keys = [
        ServerKey::container(plan, sharing),
        ServerKey::native(plan, sharing),
    ];
    #[cfg(not(feature = "container"))]
    let keys = [ServerKey::native(plan, sharing)];
    for key in keys {
        if let Some(server) = share::attach(
            &Registry {
                state: state.clone(),
                key,
            },
            plan,
            began,
        )
        .await?
        {
            return Ok(Some(server));
        }
    }
    Ok(None)
}

#[cfg(not(feature = "container"))]
async fn choose(plan: &Plan, sharing: &Sharing, mode: VerifyMode) -> Result<Server> {
    native::start(
        plan,
        sharing,
        mode,
        "auto: this build of ebbtide has no container backend",
    )
    .await
}

#[cfg(feature = "container")]
async fn choose(plan: &Plan, sharing: &Sharing, mode: VerifyMode) -> Result<Server> {
    use super::container;

    let account = account::for_server().ok().flatten();
    let registry = Registry {
        state: StateDir::open(&plan.state_dir, account)?,
        key: ServerKey::auto(plan, sharing),
    };
    // So that many processes at once make one choice, and one of them waits for a refused pull.
    let lock = registry
        .lock(*plan.start_timeout.get() + container::PULLING)
        .await?;
    if mode == VerifyMode::Files
        && let Some(server) = running(plan, sharing).await?
    {
        return Ok(server);
    }
    let refused = match container::start(plan, sharing, mode, "auto").await {
        Err(error) if is_absence(&error) => error,
        other => return other,
    };
    let reason = format!("auto: no container, because {}", super::in_full(&refused));
    let server = native::start(plan, sharing, mode, &reason)
        .await
        .map_err(|error| neither(&refused, &error));
    drop(lock);
    server
}

/// Whether the error says that there is nothing to start a server from, as opposed to a start that failed.
#[cfg(feature = "container")]
fn is_absence(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BackendUnavailable | ErrorKind::ImageUnavailable | ErrorKind::BinariesNotFound
    )
}

#[cfg(feature = "container")]
fn neither(container: &Error, native: &Error) -> Error {
    if !is_absence(native) {
        return native.clone();
    }
    Error::new(
        ErrorKind::BackendUnavailable,
        "there is neither a container engine nor PostgreSQL's binaries to use",
    )
    .with_evidence("container", format!("{container:?}"))
    .with_evidence("native", format!("{native:?}"))
    .with_help("mend either of the two, or name a server of yours with EBBTIDE_URL")
}
