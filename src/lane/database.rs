//! A lane that a test uses as a whole database: real commits, several connections, any driver.

use std::fmt;

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::checkpoint::Checkpoint;
use super::held::Held;
use super::kept::KeptDatabase;
use super::open_database::OpenDatabase;
use super::request::LaneRequest;
use crate::config::MigrationVersion;
use crate::error::Result;
use crate::template::VersionChange;

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
/// # Forks and checkpoints
/// [`fork`](Self::fork) makes another database with the same contents, and
/// [`checkpoint`](Self::checkpoint) a state to return to. Several steps that begin from one long
/// preparation then need it once.
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
            let own = open.in_use.lane_use.own_connections();
            let connections = open.in_use.lane.admission.pool_connections(own);
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
        open.sessions.pool.get_or_init(make).clone()
    }

    /// Applies all migrations of the plan that remain after
    /// [`Setup::migrations_up_to`](crate::Setup::migrations_up_to), as they are applied to a new
    /// database: with the same role, transactions and ledger, and with the same errors.
    ///
    /// Each source has one new session. Seeds and expectations are not applied. If nothing remains,
    /// only the ledgers are checked.
    ///
    /// While it runs, it takes one connection beside those of the test's pool, and a command or a
    /// function takes its own. It waits for locks that the test holds, until `provision.timeout`.
    ///
    /// A statement for the whole server, such as `CREATE ROLE`, changes the server for the tests
    /// after this one, too. Write it so that it can run twice, or reach it with
    /// [`Harness::each_version`](crate::Harness::each_version), which restores its server.
    ///
    /// # Errors
    /// The evidence of an error states the version at which the database is now.
    ///
    /// - [`Migration`](crate::ErrorKind::Migration): a migration failed, with its file, line and
    ///   remedy. Those before it remain applied.
    /// - [`Timeout`](crate::ErrorKind::Timeout): a migration takes longer than the plan's
    ///   `provision.timeout`.
    /// - [`LedgerMismatch`](crate::ErrorKind::LedgerMismatch): other code has written the ledger, or
    ///   a table that a migration creates is missing.
    ///
    /// # Cancel safety
    /// If the future is dropped, the migrations continue in the background until the database is
    /// closed.
    ///
    /// # Examples
    /// ```no_run
    /// use ebbtide::Database;
    ///
    /// #[ebbtide::test(migrations_up_to = 41)]
    /// async fn names_are_split(db: Database) -> Result<(), Box<dyn std::error::Error>> {
    ///     let insert = "insert into customers (name) values ('Ada Lovelace')";
    ///     sqlx::query(insert).execute(&db.pool()).await?;
    ///     db.migrate().await?;
    ///     let name: String = sqlx::query_scalar("select last_name from customers")
    ///         .fetch_one(&db.pool())
    ///         .await?;
    ///     assert_eq!(name, "Lovelace");
    ///     Ok(())
    /// }
    /// # fn main() {}
    /// ```
    pub async fn migrate(&self) -> Result<VersionChange> {
        self.change_version(None).await
    }

    /// Like [`migrate`](Self::migrate), up to and with one version. If the database is at a later
    /// version, the migrations after `version` are reverted, the last one first.
    ///
    /// The migrations of sqlx, diesel, dbmate, goose and sql-migrate can have a way down, which this
    /// runs as the tool does. A command with `{revision}` among its arguments only migrates forward.
    ///
    /// # Errors
    /// As for [`migrate`](Self::migrate), and
    /// [`MigrationSource`](crate::ErrorKind::MigrationSource): there is no such version, several
    /// migrations can be meant, or one that must be reverted has no way down. Then nothing was
    /// changed.
    ///
    /// # Cancel safety
    /// As for [`migrate`](Self::migrate).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn test() -> ebbtide::Result<()> {
    /// let database = ebbtide::database().await?;
    /// let reverted = database.migrate_to(41).await?;
    /// assert_eq!(reverted.to_string(), "reverted 43, 42");
    /// assert_eq!(database.migrate().await?.to_string(), "applied 42, 43");
    /// # database.close().await
    /// # }
    /// ```
    pub async fn migrate_to(&self, version: impl Into<MigrationVersion>) -> Result<VersionChange> {
        self.change_version(Some(version.into())).await
    }

    /// Like [`migrate_to`](Self::migrate_to); `None` for all migrations that remain.
    pub(crate) fn change_version(
        &self,
        to: Option<MigrationVersion>,
    ) -> impl Future<Output = Result<VersionChange>> + Send + 'static {
        let open = self.held.get();
        open.version.change(&open.in_use, to)
    }

    /// Another database that begins with what this one contains now.
    ///
    /// It has every committed row, the schema, the positions of the sequences, unlogged tables,
    /// large objects, and the owner, privileges and settings of the database. Its migrations are at
    /// the same version. The two are independent from then on, and either may be closed first. A
    /// fork can be forked.
    ///
    /// A fork takes about the time of a copy of the database, and two connections of the server,
    /// both of them for its pool. Its sessions log in as those of this database. When it is closed
    /// or dropped, ebbtide drops it.
    ///
    /// # Open sessions
    /// Ebbtide closes the idle connections of [`pool`](Self::pool). If no other session is on the
    /// database, the server copies the files. Other sessions stay, and the fork does not have what
    /// their open transactions wrote. Then ebbtide copies the template and all rows. That takes
    /// longer, requires a superuser, and requires that the test has not changed the schema.
    ///
    /// # Errors
    /// - [`Fork`](crate::ErrorKind::Fork): sessions on the database prevent the copy, or it has an
    ///   object that no copy can have, such as a replication slot.
    /// - [`OutOfConnections`](crate::ErrorKind::OutOfConnections): no two connections became free
    ///   within a minute.
    /// - [`OutOfSpace`](crate::ErrorKind::OutOfSpace), or
    ///   [`ServerLost`](crate::ErrorKind::ServerLost).
    ///
    /// # Cancel safety
    /// If the future is dropped, the fork is made in the background and dropped again.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
    /// let database = ebbtide::database().await?;
    /// sqlx::query("insert into customers (first_name) values ('Laura')")
    ///     .execute(&database.pool())
    ///     .await?;
    /// let fork = database.fork().await?;
    /// sqlx::query("delete from customers").execute(&fork.pool()).await?;
    /// let count = "select count(*) from customers";
    /// let customers: i64 = sqlx::query_scalar(count).fetch_one(&database.pool()).await?;
    /// assert_eq!(customers, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn fork(&self) -> Result<Self> {
        self.start_fork().await
    }

    /// Like [`fork`](Self::fork). The future holds no reference, so a thread without a runtime can
    /// wait for it.
    pub(crate) fn start_fork(&self) -> impl Future<Output = Result<Self>> + Send + 'static {
        let (source, on_drop) = (self.held.get().source(), self.held.on_drop().clone());
        let lanes = source.lanes.clone();
        let forking = async move {
            let open = Box::pin(source.fork()).await?;
            // In the task: if the caller's future is dropped, this value is dropped and closed.
            let held = Held::new(open, on_drop);
            Ok(Self { held })
        };
        async move { lanes.in_background(forking).await }
    }

    /// Records the present state, to which [`rewind_to`](Self::rewind_to) returns.
    ///
    /// A checkpoint has what a [`fork`](Self::fork) has, and takes the same time. Open sessions are
    /// treated alike.
    ///
    /// # Errors
    /// As for [`fork`](Self::fork), with the kind [`Checkpoint`](crate::ErrorKind::Checkpoint) in
    /// place of `Fork`. A checkpoint waits for no connections.
    ///
    /// # Cancel safety
    /// If the future is dropped, the checkpoint is made in the background and dropped again.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn place_order(pool: sqlx::PgPool, number: i32) -> ebbtide::Result<()> { Ok(()) }
    /// # async fn test() -> ebbtide::Result<()> {
    /// let database = ebbtide::database().await?;
    /// place_order(database.pool(), 1).await?;
    /// let one_order = database.checkpoint().await?;
    /// for number in 2..5 {
    ///     place_order(database.pool(), number).await?;
    ///     database.rewind_to(&one_order).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn checkpoint(&self) -> Result<Checkpoint> {
        self.start_checkpoint().await
    }

    /// Like [`checkpoint`](Self::checkpoint), without a reference.
    pub(crate) fn start_checkpoint(
        &self,
    ) -> impl Future<Output = Result<Checkpoint>> + Send + 'static {
        let source = self.held.get().source();
        let lanes = source.lanes.clone();
        let copying = async move { Box::pin(source.checkpoint()).await };
        async move { lanes.in_background(copying).await }
    }

    /// Returns the database to a checkpoint, which may be an earlier or a later state than the
    /// present one. The checkpoint stays.
    ///
    /// Name and URL stay the same, and the migrations are at the version of the checkpoint. Every
    /// session on the database ends, also one with an open transaction. [`pool`](Self::pool) opens
    /// new connections; a pool of the test's own does so if it tests connections before their use,
    /// as sqlx's does by default. At the end of the test, the database is copied again.
    ///
    /// # Errors
    /// - [`Checkpoint`](crate::ErrorKind::Checkpoint): the checkpoint is one of another database;
    ///   or the old state is gone and the new one could not take its place.
    /// - Any other error: the contents are as they were, and sessions may have ended.
    ///
    /// # Cancel safety
    /// If the future is dropped, the database returns to the checkpoint in the background. A later
    /// `rewind_to`, `fork`, `checkpoint` or `migrate` waits for that.
    pub async fn rewind_to(&self, checkpoint: &Checkpoint) -> Result<()> {
        self.start_rewinding(checkpoint).await
    }

    /// Like [`rewind_to`](Self::rewind_to), without a reference.
    pub(crate) fn start_rewinding(
        &self,
        checkpoint: &Checkpoint,
    ) -> impl Future<Output = Result<()>> + Send + 'static {
        let open = self.held.get();
        let source = open.source();
        let lanes = source.lanes.clone();
        let rewinding = source.rewinding(checkpoint);
        // Before anything changes. If this process is killed later, the lane's next holder copies
        // the lane.
        let rewinding = rewinding.and_then(|rewinding| {
            open.begin_rewinding()?;
            Ok(rewinding)
        });
        async move { lanes.in_background(Box::pin(rewinding?.run())).await }
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
