//! A running server on which this process holds a lease.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::copying::DatabaseCopier;
use super::handle::{ServerAccess, ServerHandle};
use super::identification::identify;
use super::registry::{Instance, Pointer};
use super::sharing::Sharing;
use crate::config::{Backend, Plan, Secret};
use crate::conn::{ADMIN_DATABASE, ConnParams, RoleLogin};
use crate::error::{Error, ErrorKind, Result};
use crate::lane_lock::{LaneLocks, Permits};
use crate::names::Fingerprint;
use crate::role_error::ServerOwner;

/// Whether this process started the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Started,
    Reused,
}

/// A running PostgreSQL server on which this process holds a lease.
#[derive(Debug)]
pub(crate) struct Server {
    /// The backend that runs the server; never `Auto`.
    pub(crate) backend: Backend,
    /// Why this backend was chosen.
    pub(crate) reason: String,
    pub(crate) version: String,
    pub(crate) version_num: u32,
    pub(crate) conn: ConnParams,
    pub(crate) origin: Origin,
    /// Time until the server could be used: its start-up, or the search for it.
    pub(crate) took: Duration,
    /// Whether only tests with the same fingerprint use the server.
    pub(super) is_dedicated: bool,
    /// The role that owns the plan's databases, if it is not this process's own.
    pub(super) database_owner: Option<String>,
    pub(super) handle: Box<dyn ServerHandle>,
    pub(super) permits: Arc<Permits>,
    pub(crate) copier: DatabaseCopier,
}

impl Server {
    /// Describes the server of an instance, with what its pointer records about it.
    pub(super) fn with_instance(
        pointer: Pointer,
        access: ServerAccess,
        origin: Origin,
        began: Instant,
    ) -> Self {
        let ServerAccess {
            backend,
            conn,
            handle,
        } = access;
        Self {
            backend,
            reason: pointer.reason,
            version: pointer.version,
            version_num: pointer.version_num,
            conn,
            origin,
            took: began.elapsed(),
            is_dedicated: false,
            database_owner: None,
            permits: handle.lock_place().permits(pointer.connections),
            copier: DatabaseCopier::new(handle.is_durable(), pointer.version_num),
            handle,
        }
    }

    /// Marks a dedicated server as such, and adds the cause to its reason.
    ///
    /// Prints one line when the server was started: each further server costs the user memory and
    /// start-up time.
    pub(super) fn announce(&mut self, sharing: &Sharing, plan: &Plan) {
        let Sharing::Dedicated(dedication) = sharing else {
            return;
        };
        let cause = dedication.describe_cause(plan);
        if self.origin == Origin::Started {
            // Not `eprintln!`: the test harness would capture it for the test that runs first. If
            // stderr is closed, the reason still records the cause.
            let _ = writeln!(
                std::io::stderr(),
                "ebbtide: started a dedicated PostgreSQL server: {cause}"
            );
        }
        self.is_dedicated = true;
        self.reason = format!("{}; dedicated: {cause}", self.reason);
    }

    /// The permits for connections of tests.
    pub(crate) fn permits(&self) -> &Arc<Permits> {
        &self.permits
    }

    /// The value of `ebbtide.identity` on this server; `None` for an external one.
    pub(crate) fn identity(&self) -> Option<String> {
        self.instance().map(Instance::name)
    }

    fn instance(&self) -> Option<&Instance> {
        self.handle.lock_place().instance()
    }

    /// The cross-process locks of a template's lanes.
    pub(crate) fn lanes(&self, fingerprint: &Fingerprint) -> LaneLocks {
        self.handle.lock_place().lanes(fingerprint)
    }

    /// Whether only tests with the same fingerprint use the server.
    pub(crate) fn is_dedicated(&self) -> bool {
        self.is_dedicated
    }

    /// The state of a dedicated server as it was before its first build.
    ///
    /// Returns `None` and records `now` if no build has run on the server yet.
    pub(crate) fn first_state(&self, now: &str) -> Result<Option<String>> {
        self.instance()
            .map_or(Ok(None), |instance| instance.first_state(now))
    }

    /// Gives up a dedicated server whose first state cannot be restored.
    ///
    /// No further process joins it. It ends when its last user ends.
    pub(crate) fn give_up_state(&self, differences: String) -> Error {
        if let Some(instance) = self.instance() {
            // Without this file, the next process would join the same server again: the key does
            // not depend on the server's state.
            instance.mark_not_joinable();
        }
        Error::new(
            ErrorKind::ServerLost,
            "an earlier build changed the dedicated server, and the changes cannot be undone",
        )
        .with_evidence("the reason", differences)
        .with_help("run the tests again: the next run starts a new server")
    }

    /// Whether the server keeps running without users, with everything that was left on it.
    ///
    /// True for an external server only.
    pub(crate) fn outlives_us(&self) -> bool {
        self.handle.outlives_us()
    }

    /// The role that this process connects as, on an external server.
    pub(crate) fn role(&self) -> Option<&str> {
        self.handle.role()
    }

    /// Whether ebbtide has started the server, and so may create roles and set passwords on it.
    pub(crate) fn owner(&self) -> ServerOwner {
        if self.outlives_us() {
            ServerOwner::User
        } else {
            ServerOwner::Ebbtide
        }
    }

    /// The role that owns the plan's databases, if it is not this process's own.
    pub(crate) fn database_owner(&self) -> Option<&str> {
        self.database_owner.as_deref()
    }

    /// The password for the roles of a server that ebbtide has started and that requires one.
    pub(crate) fn role_password(&self) -> Option<String> {
        match self.owner() {
            ServerOwner::Ebbtide => self.conn.password(),
            ServerOwner::User => None,
        }
    }

    /// How sessions log in to the server as a role, which may be this process's own.
    ///
    /// # Errors
    /// The server's URL cannot be completed.
    pub(crate) fn conn_of_role(&self, role: &str, plan: &Plan) -> Result<ConnParams> {
        // The URL of this role has its own password.
        if role == self.conn.user() {
            return Ok(self.conn.clone());
        }
        let login = match self.owner() {
            ServerOwner::Ebbtide => RoleLogin::AsSuperuser,
            ServerOwner::User => {
                RoleLogin::WithPassword(plan.role_password.as_ref().map(Secret::expose))
            }
        };
        self.conn.as_role(role, login)
    }

    /// How many connections the server has, as text for an error.
    pub(crate) fn connection_limits(&self) -> String {
        self.handle.connection_limits()
    }

    /// A new connection to the database for administration.
    pub(crate) async fn admin(&self) -> Result<PgConnection> {
        self.conn
            .connect_own(self.conn.admin())
            .await
            .map_err(|error| self.diagnose(error))
    }

    /// Keeps the server running for `term`, even without users.
    pub(crate) async fn hold_for(&self, term: Duration) -> Result<()> {
        self.handle.hold_for(&self.conn, term).await
    }

    /// Replaces an error that means a lost server by one that explains how the server ended.
    ///
    /// Other errors are returned unchanged.
    pub(crate) fn diagnose(&self, error: Error) -> Error {
        self.handle.diagnose(error)
    }

    /// Whether the server accepts a connection and has the expected identity.
    pub(super) async fn answers(&self) -> bool {
        let Ok(mut connection) = self.conn.connect_own(ADMIN_DATABASE).await else {
            return false;
        };
        let answer = identify(&mut connection).await;
        // The result is known already; an error while closing does not change it.
        let _ = connection.close().await;
        // A container engine reuses published ports, so another server may answer at this address.
        answer.is_ok_and(|found| found.identity == self.identity())
    }
}
