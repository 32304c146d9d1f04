//! A lane handed over whole: real commits, many connections, any driver.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::checkout::{Checkout, Ending};
use super::guard;
use super::kept::{self, KeptDatabase};
use super::leased::{Lane, LaneConnection};
use super::pool::{LanePool, LaneUse};
use super::report::TestReport;
use crate::advice::Isolation;
use crate::error::Result;

/// How long the test's own tasks may go on with the pool's connections after its end.
const POOL_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A database of the test's own, a copy of the template: commits are real, any number of connections and any driver
/// may be used.
///
/// At most 32 tests have one at the same time on one server, and no more than its connections are enough for: six for
/// each, of which the test's pool takes five. Others wait for their turn.
///
/// # Cleanup
/// When the value is closed or dropped, the sessions on the database are ended, and it is made equal to the template
/// again: what was written is deleted and seeded rows are put back, if that is provably all that the test did; else it
/// is copied anew in the background. Only a superuser may delete without firing triggers, so on an external server
/// another role's database is copied anew whenever rows were written
/// (<https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SESSION-REPLICATION-ROLE>). A process that is
/// killed leaves that to the next one.
///
/// # Examples
/// ```no_run
/// # async fn test() -> ebbtide::Result<()> {
/// let database = ebbtide::database().await?;
/// sqlx::query("insert into customers (first_name) values ('Laura')").execute(&database.pool()).await?;
/// println!("psql '{}'", database.url());
/// database.close().await
/// # }
/// ```
#[must_use = "the database is taken back when this is dropped"]
pub struct Database {
    // None only while `close`, `keep` or `drop` takes it away.
    open: Option<OpenDatabase>,
    ending: Ending,
}

/// A lane that a test has for itself.
pub(crate) struct OpenDatabase {
    pub(super) lanes: LanePool,
    lane: Lane,
    test: String,
    url: String,
    pool: OnceLock<PgPool>,
}

impl Database {
    #[tracing::instrument(name = "database.open", level = "debug", skip_all)]
    pub(crate) async fn open(lanes: &LanePool, test: &str, ending: Ending) -> Result<Self> {
        let mut lane = lanes.lease(test, LaneUse::Whole).await?;
        if !lane.admission.has_spare_connection() {
            lane.connection = None;
        }
        if let (Some(connection), Some(holder)) = (&mut lane.connection, lane.lease.holder()) {
            let entered = guard::enter(connection.get(), holder).await;
            entered.map_err(|error| lanes.diagnose("entering a lane", error))?;
        }
        let url = lanes.setting().conn.url(lane.database.as_str());
        let open = OpenDatabase {
            lanes: lanes.clone(),
            lane,
            test: test.to_owned(),
            url,
            pool: OnceLock::new(),
        };
        Ok(Self {
            open: Some(open),
            ending,
        })
    }

    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.get().lane.database.as_str()
    }

    /// A URL that sqlx, libpq and most other drivers accept. On a local server its host is the directory of a Unix socket,
    /// percent-encoded (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>).
    ///
    /// A driver completes a URL from its environment: sqlx and libpq add the settings in `PGOPTIONS`.
    /// [`pool`](Self::pool) and [`connect_options`](Self::connect_options) do not.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.get().url
    }

    /// Options for connections of sqlx. The session bears the test's name.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        let open = self.get();
        open.lanes
            .setting()
            .conn
            .options(open.lane.database.as_str())
            .application_name(&open.test)
    }

    /// A pool of at most five connections, made when they are needed; fewer where the server has fewer than six for all
    /// tests. Each call gives a handle of the same pool.
    #[must_use]
    pub fn pool(&self) -> PgPool {
        let open = self.get();
        let make = || {
            let settings = open.lanes.setting().session.clone();
            let connections = open.lane.admission.pool_connections();
            let options = PgPoolOptions::new()
                .max_connections(connections)
                .idle_timeout(None)
                .max_lifetime(None);
            options
                .after_connect(move |connection, _| {
                    let settings = settings.clone();
                    Box::pin(async move {
                        if settings.is_empty() {
                            return Ok(());
                        }
                        sqlx::raw_sql(AssertSqlSafe(settings))
                            .execute(connection)
                            .await
                            .map(drop)
                    })
                })
                .connect_lazy_with(self.connect_options())
        };
        open.pool.get_or_init(make).clone()
    }

    /// Ends every session on the database and takes it back.
    ///
    /// # Errors
    /// [`ServerLost`](crate::ErrorKind::ServerLost): the server went away.
    ///
    /// # Cancel safety
    /// It goes on in the background when the future is dropped.
    pub async fn close(mut self) -> Result<()> {
        self.take().close().await
    }

    /// Keeps the database, to be looked at: for an hour, unless `keep_for` says otherwise. The sessions on it are ended.
    ///
    /// # Errors
    /// The server went away, or the test has dropped the database.
    ///
    /// # Cancel safety
    /// When the future is dropped, nothing may be kept.
    pub async fn keep(mut self) -> Result<KeptDatabase> {
        self.take().keep().await
    }

    fn take(&mut self) -> OpenDatabase {
        self.open.take().expect(OPEN)
    }

    fn get(&self) -> &OpenDatabase {
        self.open.as_ref().expect(OPEN)
    }
}

const OPEN: &str = "only close, keep and drop take it away, and they own the value";

impl OpenDatabase {
    pub(super) async fn close(self) -> Result<()> {
        let lanes = self.lanes.clone();
        lanes.in_background(self.give_back()).await
    }

    /// On the background runtime: the test's own may be about to end.
    async fn give_back(mut self) -> Result<()> {
        self.close_pool().await;
        self.lane.admission.shrink();
        let lanes = self.lanes.clone();
        let is_worn = self.lane.is_worn_by_commits();
        let reset = if is_worn {
            Ok(false)
        } else {
            self.reset().await
        };
        match reset {
            Ok(true) => {
                self.lane.committed();
                lanes.put_back(self.lane)
            }
            Ok(false) => {
                lanes.refill_later(self.lane);
                Ok(())
            }
            // The test may have dropped its own database, or ended our session; the server tells.
            Err(_) => lanes.refill(self.lane).await,
        }
    }

    /// Whether the lane equals the template again.
    async fn reset(&mut self) -> Result<bool> {
        let lane = &mut self.lane;
        let connection = if let Some(connection) = lane.connection.take() {
            connection.into_inner()
        } else {
            // A new copy was handed out without one.
            lane.session_database = lane.database.clone();
            self.lanes
                .connect_to_lane(&lane.database, &self.test)
                .await?
        };
        let reset = self
            .lanes
            .reset(&lane.lease, connection, &mut lane.database)
            .await?;
        lane.connection = reset.map(LaneConnection::New);
        Ok(lane.connection.is_some())
    }

    pub(super) fn report(&self) -> TestReport {
        TestReport::of(&self.lanes, &self.lane, Isolation::Database)
    }

    pub(super) async fn keep(mut self) -> Result<KeptDatabase> {
        self.close_pool().await;
        let mut connection = match self.lane.connection.take() {
            Some(connection) => connection.into_inner(),
            None => {
                self.lanes
                    .connect_to_lane(&self.lane.database, &self.test)
                    .await?
            }
        };
        self.lanes
            .end_others(&mut connection)
            .await
            .map_err(|error| self.lanes.diagnose(kept::STEP, error))?;
        kept::keep(&self.lanes, self.lane, connection).await
    }

    #[expect(clippy::print_stderr, reason = "a failure report")]
    async fn close_pool(&self) {
        let Some(pool) = self.pool.get() else { return };
        if tokio::time::timeout(POOL_CLOSE_TIMEOUT, pool.close())
            .await
            .is_err()
        {
            eprintln!(
                "ebbtide: test {} is over, and something that it started still uses its pool: these sessions are ended \
                 now (end or await the task that holds them)",
                self.test
            );
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("test", &self.open.as_ref().map(|open| &open.test))
            .field(
                "name",
                &self.open.as_ref().map(|open| open.lane.database.as_str()),
            )
            .finish_non_exhaustive()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.ending.take_back(Checkout::Database(open));
        }
    }
}
