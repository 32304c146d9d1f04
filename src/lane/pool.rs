//! Leases lanes: to this process by [`LaneLeases`], within it to one test at a time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::guard;
use crate::error::{Error, ErrorKind, Result};
use crate::lane_leases::{LaneLease, LaneLeases};
use crate::names::{DatabaseName, Fingerprint};
use crate::reap;
use crate::server::Server;
use crate::sql_error;

/// Lanes of one fingerprint on one server: more tests than that at once wait for each other.
const LANES: usize = 64;
/// Tests after which a lane is copied anew: rolled back rows stay in its tables as dead ones.
const USES: u32 = 5_000;
const PATIENCE: Duration = Duration::from_mins(1);
/// How long the server may be without a connection for another lane.
const CROWDED: Duration = Duration::from_secs(30);
/// Pauses between looks for a lane that somebody else returns, and for a connection that somebody else closes.
const GLANCE: Duration = Duration::from_millis(20);
const BREATH: Duration = Duration::from_millis(100);
/// Connections that a process needs beside those of its lanes: one that holds locks, and one or two that copy.
const BESIDES: usize = 3;

/// What the pool needs to know of its surroundings.
#[derive(Debug)]
pub(crate) struct LaneSetting {
    pub(crate) server: Arc<Server>,
    pub(crate) fingerprint: Fingerprint,
    /// Where connections live, since they must outlive the runtime of the test that uses them.
    pub(crate) runtime: Handle,
    /// Which lane to try first, where the test runner numbers its slots.
    pub(crate) slot: Option<usize>,
    /// `SET` statements for settings that the driver's own start-up message overrides.
    pub(crate) session: String,
}

/// Makes sure that the template is there and says its name. Called before a copy, never on the way to a ready lane.
pub(crate) type TemplateSource =
    Box<dyn Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<DatabaseName>> + Send>> + Send + Sync>;

/// All lanes of one fingerprint that this process may use.
#[derive(Clone)]
pub(crate) struct LanePool {
    inner: Arc<Inner>,
}

struct Inner {
    setting: LaneSetting,
    template: TemplateSource,
    leases: LaneLeases,
    idle: Mutex<Vec<Lane>>,
    returned: Notify,
    /// Shared by every lane that this process holds.
    held: Arc<()>,
}

impl fmt::Debug for LanePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LanePool").field("setting", &self.inner.setting).finish_non_exhaustive()
    }
}

/// A private copy of the template, leased to its holder. Dropped without being returned, it is copied anew before
/// the next use.
pub(crate) struct Lane {
    pub(super) database: DatabaseName,
    pub(super) connection: LaneConnection,
    /// The session's `application_name`: the test that it was made for.
    pub(super) session_name: String,
    pub(super) lease: LaneLease,
    uses: u32,
    /// Counted as long as it lives.
    _held: Arc<()>,
}

/// The lane's one connection.
pub(super) enum LaneConnection {
    /// Has not seen a transaction of ours.
    New(PgConnection),
    Used(PgConnection),
}

impl LaneConnection {
    pub(super) fn get(&mut self) -> &mut PgConnection {
        match self {
            Self::New(connection) | Self::Used(connection) => connection,
        }
    }

    pub(super) fn get_ref(&self) -> &PgConnection {
        match self {
            Self::New(connection) | Self::Used(connection) => connection,
        }
    }
}

impl Lane {
    /// Whether this use is its last.
    pub(super) fn is_worn(&self) -> bool {
        self.uses + 1 >= USES
    }

    /// A connection that the driver has lost count of is not used again; its database is.
    fn is_reusable(&self) -> bool {
        match &self.connection {
            LaneConnection::New(_) => true,
            LaneConnection::Used(connection) => guard::is_reusable(connection),
        }
    }
}

impl LanePool {
    pub(crate) fn new(setting: LaneSetting, template: TemplateSource) -> Self {
        let leases = setting.server.lanes(&setting.fingerprint);
        let inner =
            Inner { setting, template, leases, idle: Mutex::default(), returned: Notify::new(), held: Arc::default() };
        Self { inner: Arc::new(inner) }
    }

    pub(super) fn setting(&self) -> &LaneSetting {
        &self.inner.setting
    }

    /// Gets one lane ready, which proves that the server is there.
    pub(crate) async fn warm_up(&self) -> Result<()> {
        let lane = self.lease("ebbtide").await?;
        self.put_back(lane)
    }

    /// A lane with an open connection, marked as in use.
    #[tracing::instrument(name = "lane.lease", level = "debug", skip_all)]
    pub(super) async fn lease(&self, test: &str) -> Result<Lane> {
        let began = Instant::now();
        loop {
            let idle = self.idle().pop();
            if let Some(lane) = idle {
                lane.lease.mark_in_use()?;
                return Ok(lane);
            }
            let pause = match self.claim().await? {
                Some(lease) => match self.ready(lease, test).await {
                    // Others close theirs, or one comes back here.
                    Err(error) if error.kind() == ErrorKind::OutOfConnections && began.elapsed() < CROWDED => BREATH,
                    other => return other,
                },
                None if began.elapsed() >= PATIENCE => {
                    return Err(Error::new(
                        ErrorKind::Timeout,
                        format!("lane lease: no lane after {} s (all {LANES} are held)", PATIENCE.as_secs()),
                    )
                    .with_help("run fewer tests at once, or look for tests that keep their `Tx` in a static"));
                }
                None => GLANCE,
            };
            let pool = self.clone();
            // Another process returns its lanes without telling us, hence the limit. The wait belongs to the
            // background runtime, because a test's own clock may stand still.
            let wait = self.inner.setting.runtime.spawn(async move {
                let notified = pool.inner.returned.notified();
                // Either way the next look decides.
                let _ = tokio::time::timeout(pause, notified).await;
            });
            // The same holds for a wait that could not be finished.
            let _ = wait.await;
        }
    }

    /// On the background runtime, because a connection dies with the runtime that made it.
    async fn ready(&self, lease: LaneLease, test: &str) -> Result<Lane> {
        let (pool, test) = (self.clone(), test.to_owned());
        let ready = self.inner.setting.runtime.spawn(async move { pool.prepare(lease, test).await });
        ready.await.unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::ServerLost, "the background runtime ended").with_source(error))
        })
    }

    /// The lease of a lane that nobody holds: the slot's own first, then ready ones, then any.
    async fn claim(&self) -> Result<Option<LaneLease>> {
        let leases = &self.inner.leases;
        let slot = self.inner.setting.slot.map(|slot| slot % LANES);
        let existing = leases.existing().await?;
        for number in slot.into_iter().chain(existing.iter().copied()) {
            if let Some(lease) = leases.try_lease(number).await?
                && (lease.is_clean() != Some(false) || Some(number) == slot)
            {
                return Ok(Some(lease));
            }
        }
        for number in existing.iter().copied().chain((0..LANES).filter(|number| !existing.contains(number))) {
            if let Some(lease) = leases.try_lease(number).await? {
                return Ok(Some(lease));
            }
        }
        Ok(None)
    }

    async fn prepare(&self, lease: LaneLease, test: String) -> Result<Lane> {
        let database = DatabaseName::lane(&self.inner.setting.fingerprint, lease.number());
        let held = Arc::clone(&self.inner.held);
        let connection = match self.found(&lease, &database, &test).await? {
            Some(connection) => connection,
            None => self.copied(&lease, &database, &test).await?,
        };
        let connection = LaneConnection::New(connection);
        Ok(Lane { database, connection, session_name: test, lease, uses: 0, _held: held })
    }

    /// A connection to the lane as it is, if it equals the template.
    async fn found(&self, lease: &LaneLease, database: &DatabaseName, test: &str) -> Result<Option<PgConnection>> {
        if lease.is_clean() == Some(false) {
            return Ok(None);
        }
        lease.mark_in_use()?;
        let mut connection = match self.connect(database, test).await {
            Err(error) if is_missing(&error) => return Ok(None),
            connected => connected.map_err(|error| self.explain("connecting to a lane", error))?,
        };
        if self.enter(lease, &mut connection).await? {
            return Ok(Some(connection));
        }
        // Dropping the database ends it otherwise.
        let _ = connection.close().await;
        Ok(None)
    }

    /// A connection to the lane, copied anew.
    async fn copied(&self, lease: &LaneLease, database: &DatabaseName, test: &str) -> Result<PgConnection> {
        self.copy(database).await?;
        // So that it need not be copied again if there is no connection for it now.
        lease.mark_clean()?;
        let connected = self.connect(database, test).await;
        let mut connection = connected.map_err(|error| self.explain("connecting to a lane", error))?;
        lease.mark_in_use()?;
        if self.enter(lease, &mut connection).await? {
            return Ok(connection);
        }
        Err(Error::new(ErrorKind::ServerLost, format!("somebody else uses the new copy {database}")))
    }

    /// Whether the lane may be used as it is. Where it says so itself, it learns its holder.
    async fn enter(&self, lease: &LaneLease, connection: &mut PgConnection) -> Result<bool> {
        match lease.holder() {
            None => Ok(true),
            Some(holder) => {
                guard::take(connection, holder).await.map_err(|error| self.explain("entering a lane", error))
            }
        }
    }

    /// A statement outside the guarded transaction cannot write.
    async fn connect(&self, database: &DatabaseName, test: &str) -> Result<PgConnection, sqlx::Error> {
        let options = self.inner.setting.server.conn.options(database.as_str()).application_name(test);
        let options = options.options([("default_transaction_read_only", "on")]);
        let mut connection = PgConnection::connect_with(&options).await?;
        let session = &self.inner.setting.session;
        if !session.is_empty() {
            sqlx::raw_sql(AssertSqlSafe(session.clone())).execute(&mut connection).await?;
        }
        Ok(connection)
    }

    #[tracing::instrument(name = "lane.copy", level = "debug", skip(self))]
    async fn copy(&self, database: &DatabaseName) -> Result<()> {
        let template = (self.inner.template)().await?;
        let server = &self.inner.setting.server;
        let admin = PgConnection::connect_with(&server.conn.options(server.conn.admin())).await;
        let mut admin = admin.map_err(|error| self.explain("connecting to copy the template", error))?;
        reap::drop_database(&mut admin, database).await?;
        let strategy = server.copy_strategy();
        let create = format!("create database {database} template {template}{strategy}");
        let created = sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut admin).await;
        // What counts is whether the copy was made.
        let _ = admin.close().await;
        created.map(drop).map_err(|error| self.explain("copying the template", error))
    }

    pub(super) fn explain(&self, step: &str, error: sqlx::Error) -> Error {
        let error = self.inner.setting.server.explain(sql_error::failed(step, error));
        if error.kind() != ErrorKind::OutOfConnections {
            return error;
        }
        let lanes = Arc::strong_count(&self.inner.held) - 1;
        let limits = self.inner.setting.server.connection_limits();
        error.with_help(format!(
            "this process needs up to {} connections for {lanes} lane{} and its own work; {limits}: raise what is too low, \
             close what else is connected, or run fewer tests at once",
            lanes + BESIDES,
            if lanes == 1 { "" } else { "s" },
        ))
    }

    /// Takes back a lane that equals the template again.
    pub(super) fn put_back(&self, mut lane: Lane) -> Result<()> {
        lane.uses += 1;
        // A void lease may be somebody else's by now.
        if lane.uses < USES && !lane.lease.is_void() {
            lane.lease.mark_clean()?;
            if lane.is_reusable() {
                self.idle().push(lane);
            }
        }
        self.inner.returned.notify_one();
        Ok(())
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Lane>> {
        self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there is no such database, or only the rest of one: somebody dropped it behind our back, or tried to.
fn is_missing(error: &sqlx::Error) -> bool {
    // invalid_catalog_name, object_not_in_prerequisite_state
    matches!(sql_error::code(error), Some("3D000" | "55000"))
}
