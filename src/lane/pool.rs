//! Leases lanes: to this process by [`LaneLeases`], within it to one test at a time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::guard;
use crate::conn;
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
    lease: LaneLease,
    uses: u32,
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
        let inner = Inner { setting, template, leases, idle: Mutex::default(), returned: Notify::new() };
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
            if let Some(lease) = self.claim().await? {
                let (pool, test) = (self.clone(), test.to_owned());
                // On the background runtime, because a connection dies with the runtime that made it.
                let ready = self.inner.setting.runtime.spawn(async move { pool.prepare(lease, test).await });
                return ready.await.unwrap_or_else(|error| {
                    Err(Error::new(ErrorKind::ServerLost, "the background runtime ended").with_source(error))
                });
            }
            if began.elapsed() >= PATIENCE {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!("lane lease: no lane after {} s (all {LANES} are held)", PATIENCE.as_secs()),
                )
                .with_help("run fewer tests at once, or look for tests that keep their `Tx` in a static"));
            }
            let pool = self.clone();
            // Another process returns its lanes without telling us, hence the limit. The wait belongs to the
            // background runtime, because a test's own clock may stand still.
            let wait = self.inner.setting.runtime.spawn(async move {
                let notified = pool.inner.returned.notified();
                // Either way the next look decides.
                let _ = tokio::time::timeout(Duration::from_millis(20), notified).await;
            });
            // The same holds for a wait that could not be finished.
            let _ = wait.await;
        }
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
        let was_clean = lease.is_clean();
        lease.mark_in_use()?;
        if was_clean == Some(false) {
            self.copy(&database).await?;
        }
        let connection = match self.connect(&database, &test).await {
            // invalid_catalog_name: somebody dropped the database behind our back.
            Err(error) if sql_error::code(&error) == Some("3D000") => {
                self.copy(&database).await?;
                self.connect(&database, &test).await
            }
            other => other,
        };
        let connection = connection.map_err(|error| self.explain("connecting to a lane", error))?;
        Ok(Lane { database, connection: LaneConnection::New(connection), session_name: test, lease, uses: 0 })
    }

    /// A statement outside the guarded transaction cannot write.
    async fn connect(&self, database: &DatabaseName, test: &str) -> Result<PgConnection, sqlx::Error> {
        let options = self.inner.setting.server.conn.options(database.as_str()).application_name(test);
        let mut connection = conn::open(&options.options([("default_transaction_read_only", "on")])).await?;
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
        let mut admin = server.admin().await?;
        reap::drop_database(&mut admin, database).await?;
        // Before 15 the only strategy was what is now called FILE_COPY.
        // https://www.postgresql.org/docs/current/sql-createdatabase.html
        let strategy = if server.version_num >= 150_000 { " strategy file_copy" } else { "" };
        let create = format!("create database {database} template {template}{strategy}");
        let created = sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut admin).await;
        // What counts is whether the copy was made.
        let _ = admin.close().await;
        created.map(drop).map_err(|error| self.explain("copying the template", error))
    }

    pub(super) fn explain(&self, step: &str, error: sqlx::Error) -> Error {
        self.inner.setting.server.explain(sql_error::failed(step, error))
    }

    /// Takes back a lane that equals the template again.
    pub(super) fn put_back(&self, mut lane: Lane) -> Result<()> {
        lane.uses += 1;
        if lane.uses < USES {
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
