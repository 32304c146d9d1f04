//! All of the grammar at once. trybuild compiles no tests, so this is about the attribute's own reading; what it writes
//! is compiled in `tests/attribute`.
#![allow(unused_imports)]

use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::Postgres;

pub static MIGRATOR: Migrator = Migrator::DEFAULT;

#[derive(ebbtide::PgEnum)]
pub enum Mood {
    Sad,
}

#[ebbtide::test]
fn nothing() {}

#[ebbtide::test()]
async fn sqlx_arguments(_: PgPool, _: PoolConnection<Postgres>, _: PgPoolOptions, _: PgConnectOptions) {}

#[ebbtide::test(
    migrator = "crate::MIGRATOR",
    fixtures("../../attribute/fixtures/laura.sql"),
    fixtures(path = "../../attribute/fixtures", scripts("marta", "orders.sql")),
    isolation = "database",
    isolation_level = "repeatable read",
    savepoints,
    keep = "failed",
    expect(tables(a, "b.c"), rows(a = 1), enums(mood("sad", happy), Mood)),
    flavor = "multi_thread",
    worker_threads = 2,
    crate = "ebbtide"
)]
async fn everything(mut _tx: ebbtide::Tx, _sandbox: ebbtide::Sandbox, _database: ebbtide::Database) -> sqlx::Result<()> {
    Ok(())
}

#[ebbtide::test(migrations = false, keep, start_paused = true)]
#[should_panic]
#[ignore = "why not"]
async fn others() {}

fn main() {}
