//! The interface of a running server: what differs between the backends while tests use it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;

use super::registry::Instance;
use crate::config::Backend;
use crate::conn::ConnParams;
use crate::error::{Error, ErrorKind, Result, cause_message};
use crate::lane_lock::{LaneLocks, Locks, Permits, permits_of_process};
use crate::names::Fingerprint;

/// How this process reaches a running server.
#[derive(Debug)]
pub(super) struct ServerAccess {
    pub(super) backend: Backend,
    pub(super) conn: ConnParams,
    pub(super) handle: Box<dyn ServerHandle>,
}

/// Where the processes that use a server lock lanes and permits.
#[derive(Debug, Clone, Copy)]
pub(super) enum LockPlace<'a> {
    /// In files of the instance directory, for a server of one machine.
    Instance(&'a Instance),
    /// On the server itself, for one that several machines may share.
    Server {
        locks: &'a Locks,
        /// The server's address and the role.
        place: &'a str,
    },
}

impl<'a> LockPlace<'a> {
    pub(super) fn instance(self) -> Option<&'a Instance> {
        match self {
            Self::Instance(instance) => Some(instance),
            Self::Server { .. } => None,
        }
    }

    /// The cross-process locks of a template's lanes.
    pub(super) fn lanes(self, fingerprint: &Fingerprint) -> LaneLocks {
        match self {
            Self::Instance(instance) => LaneLocks::in_dir(&instance.dir, fingerprint),
            Self::Server { locks, .. } => LaneLocks::by_locks(locks, fingerprint),
        }
    }

    /// The permits for `capacity` connections of tests.
    pub(super) fn permits(self, capacity: usize) -> Arc<Permits> {
        match self {
            Self::Instance(instance) => permits_of_process::in_dir(&instance.dir, capacity),
            Self::Server { locks, place } => permits_of_process::by_locks(locks, place, capacity),
        }
    }
}

/// What this process holds so that it can use a running server.
///
/// The defaults describe a server that ebbtide has started.
pub(super) trait ServerHandle: fmt::Debug + Send + Sync {
    /// Where the processes that use the server lock lanes and permits.
    fn lock_place(&self) -> LockPlace<'_>;

    /// Keeps the server running for `term`, even if this process ends before.
    ///
    /// # Errors
    /// The server has ended.
    fn hold_for<'a>(&'a self, conn: &'a ConnParams, term: Duration) -> BoxFuture<'a, Result<()>>;

    /// The server's log since a moment. The text may begin earlier than the moment. If the log is
    /// long, the first part after the moment may be missing.
    ///
    /// # Errors
    /// The reason why the log cannot be read.
    fn log<'a>(
        &'a self,
        conn: &'a ConnParams,
        since: SystemTime,
    ) -> BoxFuture<'a, Result<String, String>>;

    /// The error for a server that ended while it was in use.
    fn lost(&self) -> Error;

    /// Whether the error of a connection or statement means that the server is lost.
    fn is_lost(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::ServerLost
    }

    /// Replaces an error that means a lost server by one that explains how the server ended.
    ///
    /// Other errors are returned unchanged.
    fn diagnose(&self, error: Error) -> Error {
        if !self.is_lost(&error) {
            return error;
        }
        let lost = self.lost();
        // The replaced error becomes the cause, because only it names the step that failed.
        match std::error::Error::source(&error) {
            Some(source) => lost.with_source(format!("{error}: {}", cause_message(source))),
            None => lost,
        }
    }

    /// Notifies the supervisor that the server does not answer, if the supervisor cannot detect it.
    fn give_up(&self) {}

    /// How many connections the server has, as text for an error.
    fn connection_limits(&self) -> String {
        "`max_connections` in `server.settings` sets the number of connections".to_owned()
    }

    /// Whether each database of the server takes memory of this machine.
    fn keeps_data_in_memory(&self) -> bool {
        false
    }

    /// Whether the server runs with `fsync = on`.
    fn is_durable(&self) -> bool {
        false
    }

    /// The role that this process connects as, if it is not the superuser of ebbtide's own servers.
    fn role(&self) -> Option<&str> {
        None
    }

    /// Whether the server keeps running without users, with everything that was left on it.
    fn outlives_us(&self) -> bool {
        false
    }
}

/// The error for a server of ebbtide that ended, as far as it has the same text for every backend.
pub(super) fn lost() -> Error {
    Error::new(
        ErrorKind::ServerLost,
        "the PostgreSQL server was lost while it was in use",
    )
    .with_help("run the tests again: the next run starts a new server")
}
