//! The choice between a container and this machine's binaries.

use std::time::Instant;

use super::registry::{Registry, ServerKey};
use super::running::Server;
use super::share::VerifyMode;
use super::sharing::Sharing;
use super::state::StateDir;
use super::{account, native, share};
use crate::config::Plan;
#[cfg(feature = "container")]
use crate::error::{Error, cause_message};
use crate::error::{ErrorKind, Result};

/// Starts a container if an engine answers and has the image or can pull it. Otherwise starts a
/// native server from this machine's binaries.
///
/// # Errors
/// One error when neither backend is available. It lists the attempts and the remedy for each.
pub(super) async fn start(plan: &Plan, sharing: &Sharing, mode: VerifyMode) -> Result<Server> {
    if mode == VerifyMode::Files
        && let Some(server) = attach_running(plan, sharing).await?
    {
        return Ok(server);
    }
    choose(plan, sharing, mode).await
}

/// Uses a running server of either backend, if there is one.
///
/// The registry is read first: a query to a container engine takes longer than reading files.
async fn attach_running(plan: &Plan, sharing: &Sharing) -> Result<Option<Server>> {
    let began = Instant::now();
    // Root without a user to run PostgreSQL as cannot use the native backend, but can use a
    // container.
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
    // Many processes that start at once make one choice, and only one of them waits for a pull that
    // the registry refuses.
    let lock = registry
        .lock(*plan.start_timeout.get() + container::IMAGE_PULL_TIMEOUT)
        .await?;
    if mode == VerifyMode::Files
        && let Some(server) = attach_running(plan, sharing).await?
    {
        return Ok(server);
    }
    let refused = match container::start(plan, sharing, mode, "auto").await {
        Err(error) if is_unavailable(&error) => error,
        other => return other,
    };
    let reason = format!("auto: no container, because {}", in_one_line(&refused));
    let server = native::start(plan, sharing, mode, &reason)
        .await
        .map_err(|error| no_backend(&refused, &error));
    drop(lock);
    server
}

/// Whether the backend has nothing to start a server from. A start that failed is another matter.
#[cfg(feature = "container")]
fn is_unavailable(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BackendUnavailable | ErrorKind::ImageUnavailable | ErrorKind::BinariesNotFound
    )
}

/// The error for a machine on which neither backend can start a server.
#[cfg(feature = "container")]
fn no_backend(container: &Error, native: &Error) -> Error {
    if !is_unavailable(native) {
        return native.clone();
    }
    Error::new(
        ErrorKind::BackendUnavailable,
        "there is neither a container engine nor PostgreSQL's binaries to use",
    )
    .with_evidence("container", format!("{container:?}"))
    .with_evidence("native", format!("{native:?}"))
    .with_help("make one of the two available, or name a server of your own with EBBTIDE_URL")
}

/// An error in one line, together with its cause or with the attempts that failed.
#[cfg(feature = "container")]
fn in_one_line(error: &Error) -> String {
    match (std::error::Error::source(error), error.evidence("tried")) {
        (Some(source), _) => format!("{error}: {}", cause_message(source)),
        (None, Some(tried)) => format!("{error}: {}", tried.trim_end().replace('\n', "; ")),
        (None, None) => error.to_string(),
    }
}
