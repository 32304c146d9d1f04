//! A lane that a test uses as a whole database: real commits, several connections, any driver.

use std::fmt;

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::held::Held;
use super::kept::KeptDatabase;
use super::open_database::OpenDatabase;
use super::request::LaneRequest;
use crate::error::Result;

/// A database that only this test uses, a copy of the template. Commits are real, and the test may
/// use any number of connections and any driver.
///
/// At most 32 tests have one at the same time on one server. Each takes up to six connections of
/// the server, five of them for the test's pool. Further tests wait.
///
/// # Cleanup
/// When the value is closed or dropped, ebbtide ends the sessions on the database, and makes the
/// database equal to the template again. If the test provably did nothing but write rows, ebbtide
/// deletes these rows and restores seeded rows. Otherwise ebbtide copies the database again in the
/// background. Only a superuser may delete without firing triggers. So on an external server, with
/// another role, ebbtide copies the database again whenever rows were written
/// (<https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SESSION-REPLICATION-ROLE>).
/// If the process is killed, the next process that uses the database does this.
///
/// # Examples
/// ```no_run
/// # async fn test() -> ebbtide::Result<()> {
/// let database = ebbtide::database().await?;
/// sqlx::query("insert into customers (first_name) values ('Laura')")
///     .execute(&database.pool())
///     .await?;
/// println!("psql '{}'", database.url());
/// database.close().await
/// # }
/// ```
#[must_use = "the database is taken back when this is dropped"]
pub struct Database {
    held: Held<OpenDatabase>,
}

impl Database {
    #[tracing::instrument(name = "database.open", level = "debug", skip_all)]
    pub(crate) async fn open(request: LaneRequest) -> Result<Self> {
        let open = OpenDatabase::open(&request).await?;
        let held = Held::new(open, request.on_drop);
        Ok(Self { held })
    }

    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.held.get().in_use.lane.database.as_str()
    }

    /// A URL that sqlx, libpq and most other drivers accept. On a local server its host is the
    /// directory of a Unix socket, percent-encoded
    /// (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>).
    ///
    /// A driver may add settings from its environment: sqlx and libpq add those in `PGOPTIONS`.
    /// [`pool`](Self::pool) and [`connect_options`](Self::connect_options) do not.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.held.get().url
    }

    /// Connect options for sqlx. The session's `application_name` is the test's name.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        let in_use = &self.held.get().in_use;
        in_use
            .lanes
            .setting()
            .conn
            .options(in_use.lane.database.as_str())
            .application_name(&in_use.test)
    }

    /// A pool of at most five connections, which are opened when they are needed. If the server has
    /// fewer than six connections for tests, the pool is smaller. Each call returns a handle of the
    /// same pool.
    #[must_use]
    pub fn pool(&self) -> PgPool {
        let open = self.held.get();
        let make = || {
            let settings = open.in_use.lanes.setting().session_settings.clone();
            let connections = open.in_use.lane.admission.pool_connections();
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

    /// Ends every session on the database and makes it equal to the template again.
    ///
    /// # Errors
    /// [`ServerLost`](crate::ErrorKind::ServerLost): the server is gone.
    ///
    /// # Cancel safety
    /// If the future is dropped, the close continues in the background.
    pub async fn close(self) -> Result<()> {
        self.held.close().await
    }

    /// Keeps the database, so that a person can inspect it. It exists for an hour, or for as long
    /// as `keep_for` specifies. Ebbtide ends the sessions on it.
    ///
    /// # Errors
    /// The server is gone, or the test has dropped the database.
    ///
    /// # Cancel safety
    /// If the future is dropped, the database may be kept or not.
    pub async fn keep(self) -> Result<KeptDatabase> {
        self.held.keep().await
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held.fmt_as("Database", "name", f)
    }
}
