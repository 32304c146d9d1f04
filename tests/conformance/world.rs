//! Tests of one kind, one after the other: what each is lent, and what the next one gets.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::time::Duration;

use ebbtide::{Database, Harness, IsolationLevel, Sandbox, Tx, TxOptions};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::testing::{TestArgs, TestSupport as _};
use sqlx::{AssertSqlSafe, Connection as _, Postgres, Row as _, Transaction};

use crate::parts;
use crate::support::Scratch;
use crate::table::Kind;

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

/// How long sqlx waits for what a test still holds.
const POOL_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the next test may get another lane than the one that is looked for.
const TRIES: usize = 30;

/// Where tests of one kind run.
pub(crate) struct World {
    pub(crate) kind: Kind,
    name: String,
    more: String,
    scratch: Scratch,
    harness: Option<Harness>,
    /// What all tests share that have a plain transaction.
    shared: Option<Database>,
    /// The databases that sqlx has made.
    made: Mutex<Vec<String>>,
}

impl World {
    /// `more` is SQL that the migrations end with.
    pub(crate) async fn new(kind: Kind, name: &str, more: &str) -> Self {
        let scratch = Scratch::new();
        // Another text is another template, with lanes of its own.
        let ours = matches!(kind, Kind::Tx | Kind::Sandbox | Kind::Database);
        let name_of_text = if ours { name } else { "every other hole" };
        scratch.write(
            "migrations/1_family.sql",
            &format!("-- {name_of_text}\n{MIGRATION}{more}"),
        );
        let harness = (kind != Kind::SqlxTest).then(|| scratch.builder().build().unwrap());
        let shared = match &harness {
            Some(harness) if kind == Kind::Plain => Some(harness.database().await.unwrap()),
            _ => None,
        };
        Self {
            kind,
            name: name.to_owned(),
            more: more.to_owned(),
            scratch,
            harness,
            shared,
            made: Mutex::default(),
        }
    }

    /// What the next test gets.
    pub(crate) async fn next(&self) -> Lent {
        match self.kind {
            Kind::Tx => Lent::Tx(self.harness().tx().await.unwrap()),
            Kind::Sandbox => Lent::Sandbox(self.harness().sandbox().await.unwrap()),
            Kind::Database => Lent::Database(self.harness().database().await.unwrap()),
            Kind::SqlxTest => self.next_of_sqlx().await,
            Kind::Plain => {
                let url = self.shared.as_ref().unwrap().url().to_owned();
                let pool = PgPoolOptions::new()
                    .max_connections(1)
                    .connect(&url)
                    .await
                    .unwrap();
                let transaction = pool.begin().await.unwrap();
                Lent::Plain {
                    transaction,
                    pool,
                    url,
                }
            }
        }
    }

    /// A test that wants to go on after a statement that failed.
    pub(crate) async fn next_with_savepoints(&self) -> Lent {
        if self.kind == Kind::Tx {
            return Lent::Tx(
                self.harness()
                    .tx_with(TxOptions::new().savepoints())
                    .await
                    .unwrap(),
            );
        }
        self.next().await
    }

    /// A test whose transaction is to be serializable.
    pub(crate) async fn next_serializable(&self) -> Lent {
        if self.kind == Kind::Tx {
            let serializable = TxOptions::new().isolation_level(IsolationLevel::Serializable);
            return Lent::Tx(self.harness().tx_with(serializable).await.unwrap());
        }
        self.next().await
    }

    /// The next test on this database, where one is used again: a lane that is being copied takes a moment.
    pub(crate) async fn next_on(&self, database: &str) -> Lent {
        let mut others = Vec::new();
        let mut next = self.next().await;
        if self.kind != Kind::SqlxTest {
            while next.database().await != database {
                assert!(others.len() < TRIES, "{database} was never given out again");
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

    /// As `#[sqlx::test]` does it.
    async fn next_of_sqlx(&self) -> Lent {
        let path = format!("{} {}", self.name, self.made.lock().unwrap().len());
        let context = Postgres::test_context(&TestArgs::new(path.leak()))
            .await
            .unwrap();
        self.made.lock().unwrap().push(context.db_name.clone());
        let options = context.connect_opts.clone();
        let pool = context
            .pool_opts
            .connect_with(context.connect_opts)
            .await
            .unwrap();
        sqlx::raw_sql(MIGRATION).execute(&pool).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(self.more.clone()))
            .execute(&pool)
            .await
            .unwrap();
        Lent::SqlxTest {
            pool,
            options,
            database: context.db_name,
        }
    }

    /// Leaves nothing behind.
    pub(crate) async fn end(self) {
        if let Some(shared) = self.shared {
            shared.close().await.unwrap();
        }
        parts::drop_databases(&self.made.into_inner().unwrap()).await;
    }
}

/// What one test has.
pub(crate) enum Lent {
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

impl Lent {
    /// The connection that code under test works with, for as long as it likes.
    pub(crate) async fn session(&mut self) -> Session<'_> {
        self.try_session().await.unwrap()
    }

    async fn try_session(&mut self) -> Result<Session<'_>, sqlx::Error> {
        Ok(match self {
            Self::Tx(tx) => Session::Lent(tx),
            Self::Plain { transaction, .. } => Session::Lent(transaction),
            Self::Sandbox(pool) => Session::Pooled(pool.acquire().await?),
            Self::Database(database) => Session::Pooled(database.pool().acquire().await?),
            Self::SqlxTest { pool, .. } => Session::Pooled(pool.acquire().await?),
        })
    }

    /// The pool that an application gets, where there is one.
    pub(crate) fn pool(&self) -> Option<PgPool> {
        match self {
            Self::Tx(_) | Self::Plain { .. } => None,
            Self::Sandbox(sandbox) => Some(PgPool::clone(sandbox)),
            Self::Database(database) => Some(database.pool()),
            Self::SqlxTest { pool, .. } => Some(pool.clone()),
        }
    }

    /// A second connection that code under test makes by itself.
    pub(crate) async fn second(&self) -> PgConnection {
        PgConnection::connect_with(&self.second_options())
            .await
            .unwrap()
    }

    /// How code under test connects by itself.
    pub(crate) fn second_options(&self) -> PgConnectOptions {
        match self {
            Self::Tx(tx) => tx.url().parse().unwrap(),
            Self::Sandbox(sandbox) => sandbox.url().parse().unwrap(),
            Self::Database(database) => database.url().parse().unwrap(),
            Self::SqlxTest { options, .. } => options.clone(),
            Self::Plain { url, .. } => url.parse().unwrap(),
        }
    }

    /// The database's name. That of a lane is its number alone: what follows it may change from test to test.
    pub(crate) async fn database(&mut self) -> String {
        lane_of(
            text(
                &mut *self.session().await,
                "select current_database()::text",
            )
            .await,
        )
    }

    /// Which physical database it is: another one after a copy.
    pub(crate) async fn oid(&mut self) -> i64 {
        let oid = "select oid::int8 from pg_database where datname = current_database()";
        number(&mut *self.session().await, oid).await
    }

    /// One statement of the application's, by itself.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        run(&mut *self.try_session().await?, sql).await
    }

    /// Whether the test's statements are in one transaction.
    pub(crate) async fn is_wrapped(&mut self) -> bool {
        // In one message: the driver's several have a time each.
        let asking = sqlx::raw_sql("select (now() < statement_timestamp())::text");
        let row = asking.fetch_one(&mut *self.session().await).await.unwrap();
        row.try_get_unchecked::<&str, _>(0).unwrap() == "true"
    }

    /// The test's end.
    pub(crate) async fn end(self) -> ebbtide::Result<()> {
        match self {
            Self::Tx(tx) => tx.close().await,
            Self::Sandbox(sandbox) => sandbox.close().await,
            Self::Database(database) => database.close().await,
            Self::SqlxTest { pool, database, .. } => {
                // Neither fails a test of sqlx's.
                let _ = tokio::time::timeout(POOL_CLOSE_TIMEOUT, pool.close()).await;
                let _ = Postgres::cleanup_test(&database).await;
                Ok(())
            }
            Self::Plain {
                transaction, pool, ..
            } => {
                // Where the code under test has ended the transaction, the server warns and goes on.
                transaction.rollback().await?;
                pool.close().await;
                Ok(())
            }
        }
    }
}

/// A connection of a test.
pub(crate) enum Session<'a> {
    Lent(&'a mut PgConnection),
    Pooled(PoolConnection<Postgres>),
}

impl Deref for Session<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Lent(connection) => connection,
            Self::Pooled(connection) => connection,
        }
    }
}

impl DerefMut for Session<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Lent(connection) => connection,
            Self::Pooled(connection) => connection,
        }
    }
}

/// What a lane's database is called whenever it is used, or the name of another database.
pub(crate) fn lane_of(name: String) -> String {
    match name.rsplit_once('_') {
        Some((lane, _)) if lane.starts_with("ebbtide_l_") => lane.to_owned(),
        _ => name,
    }
}

pub(crate) async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}

pub(crate) async fn number(connection: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

pub(crate) async fn text(connection: &mut PgConnection, sql: &'static str) -> String {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

/// The SQLSTATE of a refusal.
pub(crate) fn code(error: &sqlx::Error) -> String {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .unwrap_or_default()
        .into_owned()
}
