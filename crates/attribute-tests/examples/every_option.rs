//! All of the grammar at once, outside a test: the attribute reads its options here, too. What it writes for a test is
//! compiled in `tests/attribute`. An example, because one program to run makes trybuild generate code for every
//! dependency, where checking is enough for the programs that the compiler refuses.
#![expect(
    unused_imports,
    reason = "outside a test the attribute leaves nothing that needs them"
)]

use sqlx::Postgres;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

/// Named by an option.
pub static MIGRATOR: Migrator = Migrator::DEFAULT;

/// Named by an option.
#[derive(Debug, ebbtide::PgEnum)]
pub enum Mood {
    /// As in the option.
    Sad,
}

#[ebbtide::test]
fn nothing() {}

#[ebbtide::test()]
async fn sqlx_arguments(
    _: PgPool,
    _: PoolConnection<Postgres>,
    _: PgPoolOptions,
    _: PgConnectOptions,
) {
}

#[ebbtide::test(
    migrator = "crate::MIGRATOR",
    fixtures("../tests/attribute/fixtures/laura.sql"),
    fixtures(path = "../tests/attribute/fixtures", scripts("marta", "orders.sql")),
    pool = "database",
    isolation_level = "repeatable read",
    savepoints,
    keep = "failed",
    expect(tables(a, "b.c"), rows(a = 1), enums(mood("sad", happy), Mood)),
    flavor = "multi_thread",
    worker_threads = 2,
    crate = "ebbtide"
)]
async fn everything(
    mut _tx: ebbtide::Tx,
    _sandbox: ebbtide::Sandbox,
    _database: ebbtide::Database,
) -> sqlx::Result<()> {
    Ok(())
}

#[ebbtide::test(migrations = false, keep, start_paused = true)]
#[should_panic]
#[ignore = "why not"]
async fn others() {}

fn main() {}
