//! A database that is changed, and two views of its schema.

use ebbtide::schema::{Aspect, Schema, SchemaDiff};
use ebbtide::{Database, Harness};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::support::Scratch;
use crate::support::difference::difference;
use crate::support::pg_dump::pg_dump;
use crate::support::schema_pieces::{ROLES, SCHEMAS};

/// A harness without migrations, on a server of its own.
///
/// Tablespaces belong to a server. `allow_system_table_mods`, because a security label needs a
/// module that PostgreSQL does not install, so a test writes into `pg_seclabel` itself.
pub(super) fn own_server(scratch: &Scratch) -> Harness {
    scratch
        .own_server()
        .setting("allow_in_place_tablespaces", "on")
        .setting("allow_system_table_mods", "on")
        .setting("wal_level", "logical")
        .build()
        .unwrap()
}

/// A database that is changed.
pub(super) struct Subject {
    database: Database,
    connection: PgConnection,
}

/// The schema of the database as `pg_dump` and as ebbtide see it.
pub(super) struct View {
    dump: String,
    schema: Schema,
}

/// The differences of two views.
pub(super) struct Comparison<'a> {
    dumps: [&'a str; 2],
    diff: SchemaDiff,
}

impl Subject {
    pub(super) async fn new(harness: &Harness) -> Self {
        let database = harness.database().await.unwrap();
        let connection = PgConnection::connect(database.url()).await.unwrap();
        let mut subject = Self {
            database,
            connection,
        };
        subject.run(ROLES).await.unwrap();
        subject.run(SCHEMAS).await.unwrap();
        let schemas = "create schema other; grant create on schema app, other to ebbtide_owner; \
            grant usage on schema app, other, \"My Schema\" to ebbtide_reader";
        subject.run(schemas).await.unwrap();
        // A tablespace cannot be created in a transaction, and outlives the database.
        let created = subject.run("create tablespace elsewhere location ''").await;
        let exists = "select oid from pg_tablespace where spcname = 'elsewhere'";
        let found = sqlx::query(exists).fetch_optional(&mut subject.connection);
        assert!(found.await.unwrap().is_some(), "{created:?}");
        subject
    }

    /// The server's major version.
    pub(super) fn version(&self) -> u32 {
        self.connection.server_version_num().unwrap() / 10_000
    }

    /// Runs statements. VACUUM and CREATE TABLESPACE must be alone in `sql`.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sql.replace("{d}", self.database.name());
        let done = sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut self.connection)
            .await;
        // A change may end with an error while another role is set.
        sqlx::raw_sql("reset role")
            .execute(&mut self.connection)
            .await
            .unwrap();
        done.map(drop)
    }

    /// `pg_dump --schema-only` leaves out two aspects.
    pub(super) async fn view(&mut self) -> View {
        let schema = Schema::read(&mut self.connection).await.unwrap();
        let schema = schema
            .without(Aspect::ExtensionVersions)
            .without(Aspect::Population);
        let options = ["--create", "--schema-only", "--exclude-schema=_ebbtide"];
        let dump = pg_dump(&self.database, &options).await;
        View { dump, schema }
    }

    pub(super) async fn close(self) {
        self.connection.close().await.unwrap();
        self.database.close().await.unwrap();
    }
}

impl View {
    pub(super) fn compare<'a>(&'a self, after: &'a Self) -> Comparison<'a> {
        Comparison {
            dumps: [&self.dump, &after.dump],
            diff: self.schema.compare(&after.schema),
        }
    }
}

impl Comparison<'_> {
    pub(super) fn is_dumped(&self) -> bool {
        self.dumps[0] != self.dumps[1]
    }

    /// What only one of the two reports.
    pub(super) fn disagreement(&self) -> Option<String> {
        (self.is_dumped() == self.diff.is_clean()).then(|| {
            format!(
                "in pg_dump: {}\n{}\nin the comparison: {}",
                self.is_dumped(),
                difference(self.dumps[0], self.dumps[1]),
                self.diff
            )
        })
    }
}
