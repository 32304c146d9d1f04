//! Runs tests of one kind, one after the other, through one interface for all kinds.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::time::Duration;

use ebbtide::{Database, Harness, Sandbox, Tx, TxOptions};

use ebbtide::config::IsolationLevel;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::testing::{TestArgs, TestSupport as _};
use sqlx::{AssertSqlSafe, Connection as _, Postgres, Row as _, Transaction};

use crate::conformance::children;
use crate::conformance::table::Kind;
use crate::support::Scratch;
use crate::support::sql::{DATABASE_OID, number, run, text};

pub(crate) const MIGRATION: &str = "
    create table parents (id bigint generated always as identity primary key, name text not null unique);
    create table children (
        id serial primary key,
        parent bigint not null constraint children_parent_fkey references parents deferrable initially deferred
    );
    create sequence tickets start 100;
    create type mood as enum ('calm', 'stormy');
    create procedure tidy() language plpgsql as $$
    begin
        insert into parents (name) values ('by the procedure');
        commit;
    end $$;
";

/// How long the pool of `#[sqlx::test]` waits for connections that the test still holds.
const POOL_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// A configuration in which tests log in as a role that owns the database and its tables.
const AS_ROLE: &str = r#"
    [provision]
    roles = ["suite_owner"]
    owner = "suite_owner"
    [test]
    role = "suite_owner"
"#;
/// How many other lanes a probe may receive before the one that it looks for.
const MAX_OTHER_LANES: usize = 30;

/// As which role the sessions of the tests log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// The role that administers the server.
    Administrator,
    /// A role that owns its tables, and has no other right.
    Role,
}

/// The place in which tests of one kind run.
pub(crate) struct World {
    pub(crate) kind: Kind,
    name: String,
    extra_sql: String,
    scratch: Scratch,
    harness: Option<Harness>,
    /// The database that all plain transactions share.
    shared: Option<Database>,
    /// The databases that sqlx has created.
    sqlx_databases: Mutex<Vec<String>>,
}

impl World {
    /// `extra_sql` is appended to the migration.
    pub(crate) async fn new(kind: Kind, name: &str, extra_sql: &str, rights: Rights) -> Self {
        let scratch = Scratch::new();
        if rights == Rights::Role {
            scratch.write("ebbtide.toml", AS_ROLE);
        }
        // A different text has a different fingerprint, and so a template and lanes of its own.
        let uses_lanes = matches!(kind, Kind::Tx | Kind::Sandbox | Kind::Database);
        let name_in_text = if uses_lanes { name } else { "every other hole" };
        scratch.write(
            "migrations/1_family.sql",
            &format!("-- {name_in_text}\n{MIGRATION}{extra_sql}"),
        );
        let harness = (kind != Kind::SqlxTest).then(|| scratch.builder().build().unwrap());
        let shared = match &harness {
            Some(harness) if kind == Kind::Plain => Some(harness.database().await.unwrap()),
            _ => None,
        };
        Self {
            kind,
            name: name.to_owned(),
            extra_sql: extra_sql.to_owned(),
            scratch,
            harness,
            shared,
            sqlx_databases: Mutex::default(),
        }
    }

    /// Starts the next test.
    pub(crate) async fn next(&self) -> ProbeTest {
        match self.kind {
            Kind::Tx => ProbeTest::Tx(self.harness().tx().await.unwrap()),
            Kind::Sandbox => ProbeTest::Sandbox(self.harness().sandbox().await.unwrap()),
            Kind::Database => ProbeTest::Database(self.harness().database().await.unwrap()),
            Kind::SqlxTest => self.next_of_sqlx().await,
            Kind::Plain => {
                let url = self.shared.as_ref().unwrap().url().to_owned();
                let pool = PgPoolOptions::new()
                    .max_connections(1)
                    .connect(&url)
                    .await
                    .unwrap();
                let transaction = pool.begin().await.unwrap();
                ProbeTest::Plain {
                    transaction,
                    pool,
                    url,
                }
            }
        }
    }

    /// Starts a test that must be able to continue after a failed statement.
    pub(crate) async fn next_with_savepoints(&self) -> ProbeTest {
        if self.kind == Kind::Tx {
            return ProbeTest::Tx(
                self.harness()
                    .tx_with(TxOptions::new().savepoints())
                    .await
                    .unwrap(),
            );
        }
        self.next().await
    }

    /// Starts a test whose transaction must be serializable.
    pub(crate) async fn next_serializable(&self) -> ProbeTest {
        if self.kind == Kind::Tx {
            let serializable = TxOptions::new().isolation_level(IsolationLevel::Serializable);
            return ProbeTest::Tx(self.harness().tx_with(serializable).await.unwrap());
        }
        self.next().await
    }

    /// Starts the next test on this database, if tests of this kind use a database more than once.
    ///
    /// While that lane is being reset or copied, the harness hands out other lanes. They are held
    /// until the wanted one comes, so that none is handed out twice.
    pub(crate) async fn next_on(&self, database: &str) -> ProbeTest {
        let mut others = Vec::new();
        let mut next = self.next().await;
        if self.kind != Kind::SqlxTest {
            while next.database().await != database {
                assert!(
                    others.len() < MAX_OTHER_LANES,
                    "{database} was not handed out again"
                );
                others.push(next);
                next = self.next().await;
            }
        }
        for other in others {
            other.end().await.unwrap();
        }
        next
    }

    pub(crate) fn harness(&self) -> &Harness {
        self.harness.as_ref().unwrap()
    }

    /// The directory with this world's configuration.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Starts a test with the calls that `#[sqlx::test]` generates.
    async fn next_of_sqlx(&self) -> ProbeTest {
        let path = format!(
            "{} {}",
            self.name,
            self.sqlx_databases.lock().unwrap().len()
        );
        let context = Postgres::test_context(&TestArgs::new(path.leak()))
            .await
            .unwrap();
        self.sqlx_databases
            .lock()
            .unwrap()
            .push(context.db_name.clone());
        let options = context.connect_opts.clone();
        let pool = context
            .pool_opts
            .connect_with(context.connect_opts)
            .await
            .unwrap();
        sqlx::raw_sql(MIGRATION).execute(&pool).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(self.extra_sql.clone()))
            .execute(&pool)
            .await
            .unwrap();
        ProbeTest::SqlxTest {
            pool,
            options,
            database: context.db_name,
        }
    }

    /// Removes everything that the world created.
    pub(crate) async fn end(self) {
        if let Some(shared) = self.shared {
            shared.close().await.unwrap();
        }
        children::drop_databases(&self.sqlx_databases.into_inner().unwrap()).await;
    }
}

/// A running test, with what it received.
pub(crate) enum ProbeTest {
    Tx(Tx),
    Sandbox(Sandbox),
    Database(Database),
    SqlxTest {
        pool: PgPool,
        options: PgConnectOptions,
        database: String,
    },
    Plain {
        transaction: Transaction<'static, Postgres>,
        pool: PgPool,
        url: String,
    },
}

impl ProbeTest {
    /// The connection that the code under test uses.
    pub(crate) async fn session(&mut self) -> Session<'_> {
        self.try_session().await.unwrap()
    }

    async fn try_session(&mut self) -> Result<Session<'_>, sqlx::Error> {
        Ok(match self {
            Self::Tx(tx) => Session::Borrowed(tx),
            Self::Plain { transaction, .. } => Session::Borrowed(transaction),
            Self::Sandbox(pool) => Session::Pooled(pool.acquire().await?),
            Self::Database(database) => Session::Pooled(database.pool().acquire().await?),
            Self::SqlxTest { pool, .. } => Session::Pooled(pool.acquire().await?),
        })
    }

    /// The pool that an application receives, if this kind of test has one.
    pub(crate) fn pool(&self) -> Option<PgPool> {
        match self {
            Self::Tx(_) | Self::Plain { .. } => None,
            Self::Sandbox(sandbox) => Some(PgPool::clone(sandbox)),
            Self::Database(database) => Some(database.pool()),
            Self::SqlxTest { pool, .. } => Some(pool.clone()),
        }
    }

    /// A second connection, which the code under test opens by itself.
    pub(crate) async fn second(&self) -> PgConnection {
        PgConnection::connect_with(&self.second_options())
            .await
            .unwrap()
    }

    /// The options with which the code under test opens a connection by itself.
    pub(crate) fn second_options(&self) -> PgConnectOptions {
        match self {
            Self::Tx(tx) => tx.url().parse().unwrap(),
            Self::Sandbox(sandbox) => sandbox.url().parse().unwrap(),
            Self::Database(database) => database.url().parse().unwrap(),
            Self::SqlxTest { options, .. } => options.clone(),
            Self::Plain { url, .. } => url.parse().unwrap(),
        }
    }

    /// The database's name. Of a lane's name, only the part up to the number: the rest can change
    /// after each test.
    pub(crate) async fn database(&mut self) -> String {
        lane_of(
            text(
                &mut *self.session().await,
                "select current_database()::text",
            )
            .await,
        )
    }

    /// The database's OID, which differs after a copy.
    pub(crate) async fn oid(&mut self) -> i64 {
        number(&mut *self.session().await, DATABASE_OID).await
    }

    /// Runs SQL of the application on the test's connection.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        run(&mut *self.try_session().await?, sql).await
    }

    /// Whether the test's statements are in one transaction.
    pub(crate) async fn is_wrapped(&mut self) -> bool {
        // A simple query is one message. The extended protocol sends several, each with its own
        // statement_timestamp().
        let query = sqlx::raw_sql("select (now() < statement_timestamp())::text");
        let row = query.fetch_one(&mut *self.session().await).await.unwrap();
        row.try_get_unchecked::<&str, _>(0).unwrap() == "true"
    }

    /// Ends the test.
    pub(crate) async fn end(self) -> ebbtide::Result<()> {
        match self {
            Self::Tx(tx) => tx.close().await,
            Self::Sandbox(sandbox) => sandbox.close().await,
            Self::Database(database) => database.close().await,
            Self::SqlxTest { pool, database, .. } => {
                // Neither error makes a test of sqlx fail.
                let _ = tokio::time::timeout(POOL_CLOSE_TIMEOUT, pool.close()).await;
                let _ = Postgres::cleanup_test(&database).await;
                Ok(())
            }
            Self::Plain {
                transaction, pool, ..
            } => {
                // If the code under test has ended the transaction, this is only a warning.
                transaction.rollback().await?;
                pool.close().await;
                Ok(())
            }
        }
    }
}

/// A connection of a test.
pub(crate) enum Session<'a> {
    Borrowed(&'a mut PgConnection),
    Pooled(PoolConnection<Postgres>),
}

impl Deref for Session<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Borrowed(connection) => connection,
            Self::Pooled(connection) => connection,
        }
    }
}

impl DerefMut for Session<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Borrowed(connection) => connection,
            Self::Pooled(connection) => connection,
        }
    }
}

/// The part of a lane's database name that never changes, or the whole name of another database.
pub(crate) fn lane_of(name: String) -> String {
    match name.rsplit_once('_') {
        Some((lane, _)) if lane.starts_with("ebbtide_l_") => lane.to_owned(),
        _ => name,
    }
}
