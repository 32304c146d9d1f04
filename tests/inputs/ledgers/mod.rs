//! Ledgers of migration tools: the application's own migrator finds nothing to apply, wherever a
//! migration has moved the ledger.

mod applied_files;
mod fields;
mod ignored_tables;
mod moved;
mod other_tools;
mod sqlx_toml;

use ebbtide::config::Builder;
use ebbtide::{Database, Harness, Setup};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Row as _};

use crate::support::Scratch;
use crate::support::pg_dump::pg_dump;

/// A database that ebbtide migrated, and one that sqlx's own migrator migrated.
struct Beside {
    ebbtide: Database,
    sqlx: Database,
}

impl Beside {
    /// Migrates an empty database with sqlx beside the harness's.
    async fn new(harness: &Harness, migrator: &Migrator) -> Self {
        let ebbtide = harness.database().await.unwrap();
        let empty = harness.with_setup(Setup::new().without_migrations());
        let sqlx = empty.database().await.unwrap();
        migrator.run(&sqlx.pool()).await.unwrap();
        Self { ebbtide, sqlx }
    }

    /// Asserts that both have the same schema, and the same rows in every table of that name.
    async fn assert_equal(&self, ledger: &str) {
        let (ours, theirs) = (&self.ebbtide, &self.sqlx);
        assert_eq!(schema(ours).await, schema(theirs).await);
        let (ours, theirs) = (
            rows(&ours.pool(), ledger).await,
            rows(&theirs.pool(), ledger).await,
        );
        assert!(!ours.is_empty());
        assert_eq!(ours, theirs);
    }

    /// Asserts that sqlx's migrator finds nothing to apply in ebbtide's database.
    async fn assert_nothing_pending(&self, migrator: &Migrator) {
        let before = dump(&self.ebbtide).await;
        migrator.run(&self.ebbtide.pool()).await.unwrap();
        assert_eq!(dump(&self.ebbtide).await, before);
    }

    async fn close(self) {
        self.ebbtide.close().await.unwrap();
        self.sqlx.close().await.unwrap();
    }
}

/// The migrator of the scratch directory's `migrations`, as an application makes it.
async fn migrator(scratch: &Scratch) -> Migrator {
    Migrator::new(scratch.path("migrations")).await.unwrap()
}

/// A harness on these files below `migrations`.
fn harness(scratch: &Scratch, files: &[(&str, &str)]) -> Harness {
    builder(scratch, files).build().unwrap()
}

fn builder(scratch: &Scratch, files: &[(&str, &str)]) -> Builder {
    for (file, sql) in files {
        scratch.write(&format!("migrations/{file}"), sql);
    }
    scratch.builder()
}

/// A migration's statement that changes the `search_path` of every later session.
fn set_path_of_database(path: &str) -> String {
    format!(
        "do $$ begin execute format('alter database %I set search_path = {path}', \
         current_database()); end $$;"
    )
}

async fn schema(database: &Database) -> String {
    pg_dump(database, &["--schema-only", "--exclude-schema=_ebbtide"]).await
}

async fn dump(database: &Database) -> String {
    pg_dump(database, &["--exclude-schema=_ebbtide"]).await
}

/// The rows of each table of this name, without the times.
async fn rows(pool: &PgPool, ledger: &str) -> Vec<String> {
    let find = "select n.nspname::text, c.relname::text from pg_class c \
                join pg_namespace n on n.oid = c.relnamespace \
                where c.relname = $1 and c.relkind = 'r' order by 1";
    let tables = sqlx::query(find)
        .bind(ledger)
        .fetch_all(pool)
        .await
        .unwrap();
    let mut rows = Vec::new();
    for table in tables {
        let (schema, name): (String, String) = (table.get(0), table.get(1));
        let select = format!(
            "select format('{schema} %s %s %s %s', version, description, success, checksum) \
             from \"{schema}\".\"{name}\" order by version"
        );
        let found = sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(pool);
        rows.extend(found.await.unwrap());
    }
    rows
}
