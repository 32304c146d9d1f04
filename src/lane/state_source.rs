//! The source of a fork or a checkpoint: a database that a test has, and the two ways to copy its
//! state.
//!
//! ```text
//!  ebbtide's own idle sessions on the source end
//!    |-- no other session:  CREATE DATABASE .. TEMPLATE source
//!    |                        | 55006: a session came in between
//!    v                        v
//!  other sessions, which stay: CREATE DATABASE .. TEMPLATE template, then `transfer`
//!    |-- not a superuser, or the schema has changed ---> error that names the sessions
//! ```
//!
//! PostgreSQL copies no database that has a session
//! (<https://www.postgresql.org/docs/current/manage-ag-templatedbs.html>). A session that tries to
//! connect during the copy waits for its end.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection as _, Row as _};
use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::lane_version::LaneVersion;
use super::leased::LaneConnection;
use super::pool::LanePool;
use super::prepare::is_database_missing;
use super::state_copy::StateCopy;
use super::transfer::{self, Refusal};
use crate::catalog::{self, DatabaseProperties, InsideProperties};
use crate::conn;
use crate::error::{Error, ErrorKind, Result};
use crate::names::DatabaseName;
use crate::sql_error;
use crate::template::{self, Freshness};
use crate::wait::Polling;

/// How many copies of states this process makes at once. Each writes a whole database.
const MAX_COPIES_AT_ONCE: usize = 2;
static COPIES: Semaphore = Semaphore::const_new(MAX_COPIES_AT_ONCE);

/// How long a closed session may take to end on the server, before it counts as another client's.
const SESSION_END_TIMEOUT: Duration = Duration::from_secs(1);

/// How long to wait for a lock that another session holds.
const LOCK_TIMEOUT: &str = "2s";
const LOCKED: &str = "a session holds a lock on one of its tables";

/// How long a connection may take to return to the pool after its last use.
const POOL_RETURN_TIMEOUT: Duration = Duration::from_millis(200);

/// What a copy of a state is for, which its errors depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyPurpose {
    Fork,
    Checkpoint,
}

impl CopyPurpose {
    pub(super) fn error_kind(self) -> ErrorKind {
        match self {
            Self::Fork => ErrorKind::Fork,
            Self::Checkpoint => ErrorKind::Checkpoint,
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// A database that a test has, as far as its copies need it.
#[derive(Clone)]
pub(super) struct StateSource {
    pub(super) lanes: LanePool,
    /// The test's name.
    pub(super) test: String,
    pub(super) database: DatabaseName,
    pub(super) version: LaneVersion,
    pub(super) sessions: OwnSessions,
    pub(super) gate: CopyGate,
}

/// Lets copies of a database begin until its test returns it, and the return wait for a copy that
/// is running. A copy whose future was dropped may still wait for its turn. After the return, it
/// would copy the database of another test.
#[derive(Clone, Default)]
pub(super) struct CopyGate {
    is_closed: Arc<tokio::sync::Mutex<bool>>,
}

impl CopyGate {
    /// Keeps the gate from closing while the result exists.
    ///
    /// # Errors
    /// The test has returned the database.
    pub(super) async fn enter(&self, purpose: CopyPurpose) -> Result<OwnedMutexGuard<bool>> {
        let is_closed = Arc::clone(&self.is_closed).lock_owned().await;
        if *is_closed {
            let message = format!("the database was closed before its {}", purpose.noun());
            let help = "keep the database until the future has ended";
            return Err(Error::new(purpose.error_kind(), message).with_help(help));
        }
        Ok(is_closed)
    }

    /// Waits for the end of a running copy. No other one begins.
    pub(super) async fn close(&self) {
        *self.is_closed.lock().await = true;
    }
}

/// The sessions that ebbtide has on a database for its test.
#[derive(Clone, Default)]
pub(super) struct OwnSessions {
    /// The lane's own session.
    pub(super) lane: Arc<Mutex<Option<LaneConnection>>>,
    /// The pool of [`Database::pool`](super::Database::pool).
    pub(super) pool: Arc<OnceLock<PgPool>>,
}

impl OwnSessions {
    pub(super) fn of_lane(connection: Option<LaneConnection>) -> Self {
        Self {
            lane: Arc::new(Mutex::new(connection)),
            pool: Arc::default(),
        }
    }

    pub(super) fn take_lane(&self) -> Option<LaneConnection> {
        let mut lane = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        lane.take()
    }

    /// Waits for connections that are about to return to the pool: sqlx returns a dropped one in a
    /// task, which first ends its transaction. A connection that the test holds ends the wait at
    /// its limit.
    async fn wait_until_returned(&self) {
        let Some(pool) = self.pool.get() else { return };
        let mut polling = Polling::new("returning connections", POOL_RETURN_TIMEOUT);
        let is_busy = || usize::try_from(pool.size()).is_ok_and(|size| size > pool.num_idle());
        while is_busy() && polling.pause("a connection is in use").await.is_ok() {}
    }

    /// Closes the idle connections of the pool, and returns how many there were.
    ///
    /// Their sockets are closed without a message, because the runtime that they belong to may not
    /// be running now: a test that is not `async` blocks its thread. The pool opens others when it
    /// needs them.
    pub(super) fn drop_idle(&self) -> usize {
        let Some(pool) = self.pool.get() else {
            return 0;
        };
        let mut dropped = 0;
        while let Some(connection) = pool.try_acquire() {
            drop(connection.detach());
            dropped += 1;
        }
        dropped
    }
}

/// Another session on the source, or a prepared transaction.
struct OtherSession {
    /// As an error lists it.
    text: String,
    is_idle: bool,
}

impl StateSource {
    /// Makes the database of `copy` a copy of this one, with its properties. Objects of the copy
    /// refer to their database as `name`. Returns the properties.
    ///
    /// The caller holds the version, so that no migration and no other copy runs.
    ///
    /// # Errors
    /// The source cannot be copied now. A half-made copy may exist.
    #[tracing::instrument(name = "database.copy", level = "debug", skip_all)]
    pub(super) async fn copy_to(
        &self,
        copy: &StateCopy,
        name: &DatabaseName,
        purpose: CopyPurpose,
    ) -> Result<DatabaseProperties> {
        let _turn = copy_turn().await;
        let mut session = self.connect(&self.database).await?;
        let properties = self.properties(&mut session, purpose).await?;
        let others = self.end_own_sessions(&mut session).await;
        let others = others.map_err(|error| self.failed(purpose, error))?;
        if others.is_empty() {
            // Should closing fail, the wait below ends with an error.
            let _ = session.close().await;
            if self.copy_files(copy, &properties, name, purpose).await? {
                return Ok(properties);
            }
            session = self.connect(&self.database).await?;
        }
        self.copy_contents(&mut session, copy, &properties, name, purpose)
            .await?;
        // Should closing fail, the server ends the session when the socket closes.
        let _ = session.close().await;
        Ok(properties)
    }

    /// Reads what the server stores of the source outside its files.
    ///
    /// # Errors
    /// The source has an object that no copy can have, or a session has locked one.
    async fn properties(
        &self,
        session: &mut PgConnection,
        purpose: CopyPurpose,
    ) -> Result<DatabaseProperties> {
        let source = self.database.as_str();
        let of_template = self.lanes.template(Freshness::Cached).await?.properties;
        let inside = match self.inside(session, &of_template).await {
            Ok(inside) => inside,
            // The definition of a rule cannot be read while its table is locked.
            Err(error) if is_locked(&error) => {
                return Err(self.in_use(session, purpose, LOCKED).await);
            }
            Err(error) => return Err(self.failed(purpose, error)),
        };
        if let Some(first) = inside.obstacles.first() {
            let message = format!(
                "a {} cannot have {}, which the database {source} has",
                purpose.noun(),
                first.object
            );
            return Err(Error::new(purpose.error_kind(), message).with_help(first.remedy));
        }
        let properties = DatabaseProperties::read(session, &self.database, inside.statements).await;
        properties.map_err(|error| self.failed(purpose, error))
    }

    async fn inside(
        &self,
        session: &mut PgConnection,
        of_template: &DatabaseProperties,
    ) -> Result<InsideProperties, sqlx::Error> {
        // The error of the shorter query is that of a schema that a test has dropped, or the other
        // query reports it, too.
        if !of_template.has_inside()
            && matches!(InsideProperties::may_have_more(session).await, Ok(false))
        {
            return Ok(InsideProperties::default());
        }
        InsideProperties::read_objects(session, self.database.as_str()).await
    }

    /// Ends ebbtide's own sessions on the source if no session is in a transaction, and returns the
    /// others.
    async fn end_own_sessions(
        &self,
        session: &mut PgConnection,
    ) -> Result<Vec<OtherSession>, sqlx::Error> {
        self.sessions.wait_until_returned().await;
        let before = other_sessions(session).await?;
        // The source cannot be copied as files then, so closing idle ones would be of no use. And
        // one of the pool's idle connections may have begun a transaction with a plain `BEGIN`.
        if before.iter().any(|other| !other.is_idle) {
            return Ok(before);
        }
        let ended = usize::from(self.sessions.take_lane().is_some()) + self.sessions.drop_idle();
        let left = before.len().saturating_sub(ended);
        // The server needs a moment to notice.
        let mut polling = Polling::new("ending idle sessions", SESSION_END_TIMEOUT);
        loop {
            let now = other_sessions(session).await?;
            // Another client may have connected meanwhile, so the wait may end without success.
            if now.len() <= left || polling.pause(now.len()).await.is_err() {
                return Ok(now);
            }
        }
    }

    /// Copies the files of the source. Returns false if a session has appeared on it.
    async fn copy_files(
        &self,
        copy: &StateCopy,
        properties: &DatabaseProperties,
        name: &DatabaseName,
        purpose: CopyPurpose,
    ) -> Result<bool> {
        let server = &self.lanes.setting().server;
        let failed = |error| self.failed(purpose, error);
        let admin = self.lanes.admin_connection().take(server).await;
        let mut admin = admin.map_err(failed)?;
        if !self.wait_until_unused(&mut admin).await.map_err(failed)? {
            return Ok(false);
        }
        let (target, source) = (&copy.database, &self.database);
        match self.lanes.create_closed(&mut admin, target, source).await {
            Ok(()) => {}
            Err(error) if sql_error::is_object_in_use(&error) => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
        template::complete_state(server, &mut admin, properties, &copy.database, name).await?;
        self.lanes.admin_connection().put_back(admin);
        Ok(true)
    }

    /// Waits for the end of closed sessions. `CREATE DATABASE` waits, too, but in steps of 100 ms.
    async fn wait_until_unused(&self, admin: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let count = "select count(*) from pg_catalog.pg_stat_get_activity(null) \
                     where datid = (select oid from pg_catalog.pg_database where datname = $1) \
                     and usesysid is not null";
        let mut polling = Polling::new("ending ebbtide's own session", SESSION_END_TIMEOUT);
        loop {
            let left: i64 = sqlx::query_scalar(count)
                .bind(self.database.as_str())
                .fetch_one(&mut *admin)
                .await?;
            if left == 0 {
                return Ok(true);
            }
            if polling.pause(left).await.is_err() {
                return Ok(false);
            }
        }
    }

    /// Copies the template, and brings the contents of the source over. Sessions on the source
    /// stay.
    async fn copy_contents(
        &self,
        session: &mut PgConnection,
        copy: &StateCopy,
        properties: &DatabaseProperties,
        name: &DatabaseName,
        purpose: CopyPurpose,
    ) -> Result<()> {
        let failed = |error| self.failed(purpose, error);
        if !catalog::is_superuser(session).await.map_err(failed)? {
            let reason = "only a superuser may copy a database while other sessions use it";
            return Err(self.in_use(session, purpose, reason).await);
        }
        if properties.has_inside() {
            let reason = "it has subscriptions, or objects that contain its name, which ebbtide \
                          copies only while no other session uses it";
            return Err(self.in_use(session, purpose, reason).await);
        }
        self.copy_template(copy, properties, name).await?;
        let mut loading = self.connect(&copy.database).await?;
        let transferred = Box::pin(transfer::transfer(session, &mut loading)).await;
        // Everything is committed, or of no use.
        let _ = loading.close().await;
        let Err(refusal) = transferred else {
            return Ok(());
        };
        let mut again = self.connect(&self.database).await?;
        let reason = match refusal {
            Refusal::SchemaChanged(difference) => {
                let reason = "its schema is no longer that of the template, which ebbtide copies \
                              only while no other session uses the database";
                let error = self.in_use(&mut again, purpose, reason).await;
                return Err(error.with_evidence("the differences", difference.to_string()));
            }
            Refusal::ViewsRefreshed(views) => format!(
                "the contents of the materialized views {} have changed, which ebbtide copies \
                 only while no other session uses the database",
                views.join(", ")
            ),
            Refusal::AlwaysFires(name) => {
                format!("the trigger or rule {name} would fire for every copied row")
            }
            Refusal::Failed(error) if is_locked(&error) => LOCKED.to_owned(),
            Refusal::Failed(error) => return Err(failed(error)),
        };
        Err(self.in_use(&mut again, purpose, &reason).await)
    }

    /// Copies the template, with the properties of the source.
    async fn copy_template(
        &self,
        copy: &StateCopy,
        properties: &DatabaseProperties,
        name: &DatabaseName,
    ) -> Result<()> {
        let server = &self.lanes.setting().server;
        let step = "copying the template";
        let admin = self.lanes.admin_connection().take(server).await;
        let mut admin = admin.map_err(|error| self.lanes.diagnose(step, error))?;
        let mut freshness = Freshness::Cached;
        loop {
            let template = self.lanes.template(freshness).await?;
            match self
                .lanes
                .create_closed(&mut admin, &copy.database, &template.name)
                .await
            {
                Ok(()) => break,
                // Another process has dropped the template.
                Err(error) if is_database_missing(&error) && freshness == Freshness::Cached => {
                    freshness = Freshness::Rechecked;
                }
                Err(error) => return Err(self.lanes.diagnose(step, error)),
            }
        }
        template::complete_state(server, &mut admin, properties, &copy.database, name).await?;
        self.lanes.admin_connection().put_back(admin);
        Ok(())
    }

    /// The error for a source that other sessions use.
    async fn in_use(
        &self,
        session: &mut PgConnection,
        purpose: CopyPurpose,
        reason: &str,
    ) -> Error {
        let noun = purpose.noun();
        let message = format!(
            "no {noun} of the database {} can be made now: {reason}",
            self.database.as_str()
        );
        // The first reason is the one to report, also if the sessions cannot be listed.
        let others = other_sessions(session).await.unwrap_or_default();
        let others: Vec<String> = others.into_iter().map(|other| other.text).collect();
        Error::new(purpose.error_kind(), message)
            .with_evidence("sessions on it", others.join("\n"))
            .with_help(format!(
                "close these sessions before the {noun}, or make the {noun} before they are \
                 opened; idle connections of `Database::pool` need not be closed"
            ))
    }

    /// An administrative session.
    async fn connect(&self, database: &DatabaseName) -> Result<PgConnection> {
        let server = &self.lanes.setting().server;
        let options = server.conn.own_options(database.as_str());
        let options = options.options([("lock_timeout", LOCK_TIMEOUT)]);
        let connected = conn::open(&options).await;
        connected.map_err(|error| self.lanes.diagnose("connecting to copy a database", error))
    }

    fn failed(&self, purpose: CopyPurpose, error: sqlx::Error) -> Error {
        let database = self.database.as_str();
        let error = self
            .lanes
            .diagnose(&format!("copying the database {database}"), error);
        // The server's refusal is about this copy. Other kinds have a cause of their own.
        if error.kind() == ErrorKind::Database {
            let message = format!(
                "no {} of the database {database} can be made",
                purpose.noun()
            );
            return Error::new(purpose.error_kind(), message)
                .with_source(error)
                .with_help(
                    "look at the cause: the database may have been dropped, or have an object that \
                 cannot be copied",
                );
        }
        error
    }
}

/// Whether a lock was not granted in time.
fn is_locked(error: &sqlx::Error) -> bool {
    // lock_not_available
    sql_error::code(error) == Some("55P03")
}

/// Waits for the turn to copy a database.
pub(super) async fn copy_turn() -> Option<tokio::sync::SemaphorePermit<'static>> {
    // The semaphore is never closed.
    COPIES.acquire().await.ok()
}

/// The other sessions on the session's database, and its prepared transactions.
async fn other_sessions(session: &mut PgConnection) -> Result<Vec<OtherSession>, sqlx::Error> {
    // Autovacuum workers have no role, and CREATE DATABASE ends them. Of sessions of other roles,
    // an ordinary role sees only the process and the role.
    //
    // The functions are those below the views `pg_stat_activity` and `pg_prepared_xacts`, which
    // join catalogs.
    let query = "with d as (select oid from pg_catalog.pg_database \
             where datname = current_database()) \
         select format('session %s%s (%s), %s', pid, \
             ' ' || quote_literal(nullif(application_name, '')), \
             pg_catalog.pg_get_userbyid(usesysid), coalesce(state, 'in an unknown state')), \
             coalesce(state = 'idle', false) \
         from pg_catalog.pg_stat_get_activity(null), d \
         where datid = d.oid and pid <> pg_backend_pid() and usesysid is not null \
         union all select format('the prepared transaction %L', gid), false \
         from pg_catalog.pg_prepared_xact(), d where dbid = d.oid order by 1";
    let rows = sqlx::query(query).fetch_all(session).await?;
    rows.iter()
        .map(|row| {
            Ok(OtherSession {
                text: row.try_get(0)?,
                is_idle: row.try_get(1)?,
            })
        })
        .collect()
}
