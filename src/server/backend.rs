//! The interface of a backend: how it finds or starts a server.
//!
//! ```text
//!   Server::start
//!     |  the plan names a backend  -->  the entry of `BACKENDS` with this `kind`
//!     |  the plan has `auto`       -->  `auto` tries the entries that it may choose, in order
//!     v
//!   Backend::start
//!     |  SupervisedBackend: `share::join` looks for a server with the same `key`
//!     |                        |  found    -->  `access`, by the instance's pointer
//!     |                        |  orphans  -->  `takeover`, or `remove_orphan`
//!     v                        v
//!   Server, with the backend's ServerHandle
//! ```
//!
//! Each backend is a directory beside this file. No other code in `server` distinguishes them.

use std::ffi::OsString;
use std::fmt;
use std::future::ready;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::handle::ServerAccess;
use super::registry::{Instance, Pointer, Registry, ServerKey, ServerLease};
use super::running::Server;
use super::server_file::ServerFile;
use super::sharing::Sharing;
use crate::config::{Backend as Kind, Plan};
use crate::error::Result;
use crate::names::PartsHash;
use crate::process::Account;

/// How much evidence a process needs before it uses a running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VerifyMode {
    /// The registry's files name a serving instance.
    Files,
    /// The server itself has answered a query.
    Answer,
}

/// The backends of this build, in the order in which `auto` tries them.
pub(super) type Backends = &'static [&'static dyn Backend];

/// The server that a process needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct StartRequest<'a> {
    pub(super) plan: &'a Plan,
    pub(super) sharing: &'a Sharing,
    pub(super) mode: VerifyMode,
    /// Why this backend was chosen.
    pub(super) reason: &'a str,
    /// All backends: a start also takes over or removes the orphans of other ones.
    pub(super) backends: Backends,
}

/// One way to get a server.
pub(super) trait Backend: fmt::Debug + Sync {
    /// The value of the configuration that selects this backend.
    fn kind(&self) -> Kind;

    /// Finds a running server that fits the request, or starts one.
    ///
    /// # Errors
    /// [`BackendUnavailable`](crate::error::ErrorKind::BackendUnavailable) and related kinds if
    /// this machine has nothing to start a server from, and others if the server does not start.
    fn start<'a>(&'a self, request: StartRequest<'a>) -> BoxFuture<'a, Result<Server>>;

    /// What this backend gets a server from, as part of an error's text.
    fn source(&self) -> &'static str;

    /// How long another process may take to start a server of this backend.
    fn start_limit(&self, plan: &Plan) -> Duration {
        *plan.start_timeout.get()
    }

    /// This backend, if its servers have an instance directory.
    fn supervised(&self) -> Option<&dyn SupervisedBackend> {
        None
    }
}

/// A backend whose servers have an instance directory, which a supervisor creates and removes.
pub(super) trait SupervisedBackend: Backend {
    /// Adds the values of the plan that only this backend uses. Plans share a server only if they
    /// agree on them.
    fn hash_into(&self, plan: &Plan, hash: &mut PartsHash);

    /// How to reach the server of an instance. `None` if its pointer has another form than this
    /// backend's.
    fn access(
        &self,
        plan: &Plan,
        pointer: &Pointer,
        instance: Instance,
        lease: ServerLease,
    ) -> Option<ServerAccess>;

    /// How a new supervisor takes over a server whose supervisor and deputy were both killed.
    /// `None` if the server has ended too.
    fn takeover(
        &self,
        registry: &Registry,
        instance: &Instance,
        server: &ServerFile,
    ) -> Option<Takeover>;

    /// Ends the processes of an orphan and removes its data outside the instance directory.
    ///
    /// Called for the orphans of every backend: a supervisor that was killed early has not written
    /// which backend it belongs to.
    ///
    /// # Errors
    /// A process does not end, or a directory cannot be removed.
    fn remove_orphan<'a>(
        &'a self,
        _registry: &'a Registry,
        _instance: &'a Instance,
        _account: Option<Account>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(ready(Ok(())))
    }

    /// Removes the data of servers whose instance directory is gone.
    ///
    /// # Errors
    /// As for [`remove_orphan`](Self::remove_orphan).
    fn remove_strays<'a>(
        &'a self,
        _registry: &'a Registry,
        _account: Option<Account>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(ready(Ok(())))
    }

    /// The key of the server that a plan describes.
    fn key(&self, plan: &Plan, sharing: &Sharing) -> ServerKey {
        let mut hash = PartsHash::default();
        // A process whose plan names one backend must not join the server of another one.
        hash.part("backend", self.kind().to_string());
        self.hash_into(plan, &mut hash);
        ServerKey::of(plan, sharing, hash)
    }
}

/// The script of a supervisor, and the arguments that only this backend's script takes.
#[derive(Debug)]
pub(super) struct Takeover {
    pub(super) script: &'static str,
    pub(super) arguments: Vec<OsString>,
}

/// The backends whose servers have an instance directory.
pub(super) fn supervised(
    backends: Backends,
) -> impl Iterator<Item = &'static dyn SupervisedBackend> + Send {
    backends.iter().filter_map(|backend| backend.supervised())
}
