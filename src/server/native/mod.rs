//! A server from binaries on this machine.
//!
//! ```text
//!   start
//!     |  share::join finds a serving instance, or one process gets the start permit
//!     v
//!   a serving instance of this key without a pointer  ----------- it answers ---->  use it
//!     v
//!   attempt: supervisor -> instance directory -> saved data, `initdb` or cache -> postmaster
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
//! | `saved` | the templates of an ended server, with which the next one starts |
//! | `memory`, `free_space` | where the data goes, and whether there is room for it |
//! | `handle` | what keeps the server running for this process |
//! | `orphan` | the removal of what killed supervisors left |
//!
//! The client never creates a file of the server, except the pointer. The client starts the
//! supervisor, reads the supervisor's standard error until the preparation is done, and then polls
//! the server.

mod binaries;
mod free_space;
mod handle;
mod launch;
mod memory;
mod orphan;
mod saved;
mod start_failure;

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::backend::{Backend, StartRequest, SupervisedBackend, Takeover};
use super::handle::ServerAccess;
use super::registry::{Instance, Pointer, Registry, ServerLease};
use super::running::Server;
use super::server_file::ServerFile;
use super::share::{self, Attach};
use super::state::{self, StateDir};
use super::{account, orphans};
use crate::config::{Backend as Kind, Plan};
use crate::error::{Error, ErrorKind, Result};
use crate::names::PartsHash;
use crate::process::{Account, ProcessMark};
use handle::NativeHandle;
use launch::{Attempt, Launch};

/// How long the output of `initdb` is kept after its last use.
const CACHE_MAX_AGE: Duration = Duration::from_hours(30 * 24);
/// How many times a server is started if its supervisor is killed during each start.
const START_ATTEMPTS: usize = 3;

/// The backend `native`.
#[derive(Debug)]
pub(super) struct Native;

impl Backend for Native {
    fn kind(&self) -> Kind {
        Kind::Native
    }

    fn start<'a>(&'a self, request: StartRequest<'a>) -> BoxFuture<'a, Result<Server>> {
        Box::pin(start(request))
    }

    fn source(&self) -> &'static str {
        "PostgreSQL's binaries"
    }

    fn supervised(&self) -> Option<&dyn SupervisedBackend> {
        Some(self)
    }
}

impl SupervisedBackend for Native {
    fn hash_into(&self, plan: &Plan, hash: &mut PartsHash) {
        let bin = plan
            .bin
            .as_ref()
            .map(|dir| dir.as_os_str().as_encoded_bytes());
        hash.list("bin", bin.as_slice());
        // The supervisor of a server saves its data or not, for all processes that use the server.
        hash.part("cache", plan.cache.to_string());
    }

    fn access(
        &self,
        _: &Plan,
        pointer: &Pointer,
        instance: Instance,
        lease: ServerLease,
    ) -> Option<ServerAccess> {
        Some(NativeHandle::access(pointer, instance, lease))
    }

    fn takeover(
        &self,
        registry: &Registry,
        instance: &Instance,
        server: &ServerFile,
    ) -> Option<Takeover> {
        // The supervisor wrote this mark when it started the server. A reused pid has another start
        // time.
        let is_alive = ProcessMark::parse(&server.server)?.is_alive();
        let bin = server.arguments.first()?;
        is_alive.then(|| Takeover {
            script: handle::SCRIPT,
            // The data directory exists already, so no `initdb` cache is passed. The data is not
            // saved: this process's plan may have other roles than the server's.
            arguments: vec![
                orphan::data_dir(registry, instance).into(),
                "".into(),
                bin.into(),
                "".into(),
                "".into(),
            ],
        })
    }

    fn remove_orphan<'a>(
        &'a self,
        registry: &'a Registry,
        instance: &'a Instance,
        account: Option<Account>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(orphan::remove_orphan(registry, instance, account))
    }

    fn remove_strays<'a>(
        &'a self,
        registry: &'a Registry,
        account: Option<Account>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(orphan::remove_strays(registry, account))
    }
}

/// Finds the running server for this plan, or starts one.
///
/// # Errors
/// The state directory or the binaries cannot be used, or the server does not start.
async fn start(request: StartRequest<'_>) -> Result<Server> {
    let began = Instant::now();
    let plan = request.plan;
    let account = account::for_server()?;
    // Before `StateDir::open`, so that a refused path does not become a directory.
    state::check_for_sockets(&plan.state_dir)?;
    let registry = Registry {
        state: StateDir::open(&plan.state_dir, account)?,
        key: Native.key(plan, request.sharing),
    };
    // The permit is held until this function returns. By then a started server has its pointer, so
    // the next holder joins the server.
    let permit = match share::join(&Native, request, &registry, account, began).await? {
        Attach::Server(server) => return Ok(*server),
        Attach::Start(permit) => permit,
    };
    // Only a process that starts a server prunes, so a process that joins one loses no time.
    prune_cache(&registry.state).await?;
    permit.progress.set_step("starting PostgreSQL");
    // A process that is killed before it writes the pointer leaves a server that would otherwise
    // run beside the new one for the linger.
    if let Some(server) = launch::attach_unpublished(&registry, plan, began).await? {
        return Ok(server);
    }
    // A killed supervisor is no fault of the server or its settings. Every other failure would
    // happen again, and is returned at once.
    for _ in 0..START_ATTEMPTS {
        match attempt(request, &registry, account, began).await? {
            Attempt::Server(server) => return Ok(*server),
            Attempt::SupervisorKilled => {
                tracing::warn!("the supervisor of a server was killed while it started");
            }
        }
        // If the deputy was killed too, the sweep removes what the attempt left.
        orphans::sweep(request.backends, &registry, plan, account).await?;
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

/// Starts a server, from saved data if there is some.
///
/// If a server does not start from saved data, the data is deleted and another one starts without
/// it.
async fn attempt(
    request: StartRequest<'_>,
    registry: &Registry,
    account: Option<Account>,
    began: Instant,
) -> Result<Attempt> {
    let launch = || Launch::prepare(request, registry, account);
    let first = launch()?;
    let saved = first.saved_data();
    match first.run(began).await {
        // Saved data is as good as new data, so a start that takes too long would not be faster.
        Err(error) if error.kind() != ErrorKind::Timeout && saved.discard() => {
            tracing::warn!(%error, "a server did not start from saved data, which was deleted");
            launch()?.run(began).await
        }
        result => result,
    }
}

/// Removes cached `initdb` output that has not been copied for a month, old memos of inputs, and
/// saved data that no server has started from for a week.
///
/// Most of it belongs to PostgreSQL versions that are no longer installed.
async fn prune_cache(state: &StateDir) -> Result<()> {
    for entry in std::fs::read_dir(state.cache())
        .into_iter()
        .flatten()
        .flatten()
    {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        // The supervisor touches a cache entry before the copy, so the age is the time since the
        // last use. A memo of inputs is a file: its age is the time since the inputs changed.
        let used = metadata.modified();
        let max_age = if saved::is_file_name(&entry.file_name()) {
            saved::MAX_AGE
        } else {
            CACHE_MAX_AGE
        };
        if used.is_ok_and(|used| used.elapsed().is_ok_and(|age| age > max_age)) {
            if metadata.is_dir() {
                orphans::remove(&entry.path()).await?;
            } else {
                // Another process may have removed it first.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sharing::Sharing;
    use super::*;
    use crate::config::{self, Builder, Cache, Environment, Expect, Storage};

    #[test]
    fn plans_that_need_different_servers_have_different_keys() {
        let environment = Environment::new([("X", "y")], "/", "/tmp", 0);
        let key = |builder: Builder| {
            let plan = builder.resolve(&environment).expect("legal");
            format!("{:?}", Native.key(&plan, &Sharing::Shared))
        };
        let new = || Builder::new().without_migrations().without_seeds();
        let keys = [
            key(new()),
            key(new().postgres(17)),
            key(new().backend(config::Native::new().bin("/pg"))),
            key(new().storage(Storage::Disk)),
            key(new().linger(Duration::from_secs(1))),
            key(new().cache(Cache::Never)),
            key(new().setting("a", "1").setting("b", "2")),
            key(new().setting("a", "1\", \"b\": \"2")),
            key(new().setting("a", "1 b 2")),
        ];
        let different: std::collections::BTreeSet<&String> = keys.iter().collect();
        assert_eq!(different.len(), keys.len(), "{keys:?}");
        assert_eq!(key(new()), keys[0]);
        // What only concerns the contents does not change the server.
        assert_eq!(
            key(new().extension("pg_trgm").expect(Expect::new().table("a"))),
            keys[0]
        );
    }
}
