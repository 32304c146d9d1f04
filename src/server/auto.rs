//! The choice between the backends that start a server, for the backend `auto`.

use std::time::{Duration, Instant};

use super::backend::{Backend, StartRequest, VerifyMode};
use super::registry::{Registry, ServerKey};
use super::running::Server;
use super::state::StateDir;
use super::{account, share};
use crate::config::Backend as Kind;
use crate::error::{Error, ErrorKind, Result, cause_message};

/// A backend that has nothing to start a server from, and its error.
struct Refusal {
    backend: &'static dyn Backend,
    error: Error,
}

/// Tries the backends in their order, and starts a server with the first one that is available.
///
/// # Errors
/// The error of the only backend, or one error when no backend is available. It lists the attempts
/// and the remedy for each.
pub(super) async fn start(request: StartRequest<'_>) -> Result<Server> {
    // The registry is read first: a query to a container engine takes longer than reading files.
    if request.mode == VerifyMode::Files
        && let Some(server) = attach_running(request).await?
    {
        return Ok(server);
    }
    choose(request).await
}

/// The backends of this build that `auto` may choose.
fn candidates(request: StartRequest<'_>) -> impl Iterator<Item = &'static dyn Backend> + Send {
    let all = request.backends.iter().copied();
    all.filter(|backend| Kind::AUTO_CANDIDATES.contains(&backend.kind()))
}

/// Uses a running server of any backend that `auto` may choose, if there is one.
async fn attach_running(request: StartRequest<'_>) -> Result<Option<Server>> {
    let began = Instant::now();
    // Root without a user to run PostgreSQL as cannot use the native backend, but can use a
    // container.
    let account = match account::for_server() {
        Err(error) if error.kind() == ErrorKind::BackendUnavailable => return Ok(None),
        other => other?,
    };
    let plan = request.plan;
    let state = StateDir::open(&plan.state_dir, account)?;
    for backend in candidates(request).filter_map(Backend::supervised) {
        let registry = Registry {
            state: state.clone(),
            key: backend.key(plan, request.sharing),
        };
        if let Some(server) = share::attach(backend, &registry, plan, began).await? {
            return Ok(Some(server));
        }
    }
    Ok(None)
}

async fn choose(request: StartRequest<'_>) -> Result<Server> {
    let plan = request.plan;
    // An error concerns the native backend only, and that backend reports it when `auto` tries it.
    let account = account::for_server().ok().flatten();
    let registry = Registry {
        state: StateDir::open(&plan.state_dir, account)?,
        // A key of its own: while this process holds this lock, the chosen backend takes the
        // start-up lock of its server's key. With one key for both, this process would wait for
        // itself.
        key: ServerKey::auto_lock(plan, request.sharing),
    };
    // Many processes that start at once make one choice, and only one of them waits for a pull that
    // the registry refuses. The holder of the lock may start a server of any candidate, so the
    // longest limit counts.
    let limit: Option<Duration> = candidates(request)
        .map(|backend| backend.start_limit(plan))
        .max();
    let _lock = registry.lock(limit.unwrap_or_default()).await?;
    // Repeated, because the previous holder of the lock has usually started the server meanwhile.
    if request.mode == VerifyMode::Files
        && let Some(server) = attach_running(request).await?
    {
        return Ok(server);
    }
    let mut refusals = Vec::new();
    for backend in candidates(request) {
        let reason = reason(request, &refusals);
        let started = backend.start(StartRequest {
            reason: &reason,
            ..request
        });
        match started.await {
            // A failed start of an available backend is reported: another backend would hide its
            // cause.
            Err(error) if is_unavailable(&error) => refusals.push(Refusal { backend, error }),
            other => return other,
        }
    }
    Err(no_backend(&refusals))
}

/// Why the next backend is tried: what the build lacks, and why the backends before it refused.
fn reason(request: StartRequest<'_>, refusals: &[Refusal]) -> String {
    let is_absent = |kind: &Kind| {
        let mut all = request.backends.iter();
        !all.any(|backend| backend.kind() == *kind)
    };
    let absent = Kind::AUTO_CANDIDATES
        .into_iter()
        .filter(is_absent)
        .map(|kind| format!("this build of ebbtide has no {kind} backend"));
    let refused = refusals.iter().map(|refusal| {
        let kind = refusal.backend.kind();
        format!("no {kind}, because {}", in_one_line(&refusal.error))
    });
    let reasons: Vec<String> = absent.chain(refused).collect();
    if reasons.is_empty() {
        return Kind::Auto.to_string();
    }
    format!("{}: {}", Kind::Auto, reasons.join("; "))
}

/// Whether the backend has nothing to start a server from.
fn is_unavailable(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BackendUnavailable | ErrorKind::ImageUnavailable | ErrorKind::BinariesNotFound
    )
}

/// The error for a machine on which no backend can start a server.
fn no_backend(refusals: &[Refusal]) -> Error {
    if let [only] = refusals {
        return only.error.clone();
    }
    let sources: Vec<&str> = refusals
        .iter()
        .map(|refusal| refusal.backend.source())
        .collect();
    let error = Error::new(
        ErrorKind::BackendUnavailable,
        format!("there is neither {} to use", sources.join(" nor ")),
    );
    refusals
        .iter()
        .fold(error, |error, refusal| {
            let title = refusal.backend.kind().to_string();
            error.with_evidence(title, format!("{:?}", refusal.error))
        })
        .with_help("make one of them available, or name a server of your own with EBBTIDE_URL")
}

/// An error in one line, together with its cause or with the attempts that failed.
fn in_one_line(error: &Error) -> String {
    match (std::error::Error::source(error), error.evidence("tried")) {
        (Some(source), _) => format!("{error}: {}", cause_message(source)),
        (None, Some(tried)) => format!("{error}: {}", tried.trim_end().replace('\n', "; ")),
        (None, None) => error.to_string(),
    }
}
