//! The attribute's whole grammar, in a build without `cfg(test)`. There the attribute parses its
//! options, and the compiler drops the test that it generates. `tests/attribute` compiles and runs
//! such tests.
//!
//! This is an example and not a `pass` case of trybuild. With one `pass` case, trybuild builds every
//! dependency; for `compile_fail` cases alone, `cargo check` is enough.
#![expect(
    unused_imports,
    reason = "without cfg(test) the compiler drops the functions that use them"
)]

use sqlx::Postgres;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

/// The option `migrator` names it.
pub static MIGRATOR: Migrator = Migrator::DEFAULT;

/// The option `expect(enums(..))` names it.
#[derive(Debug, ebbtide::PgEnum)]
pub enum Mood {
    /// A label.
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
    migrations_up_to = ("migrations", 1),
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

#[ebbtide::test(migrations = false, keep = "always", start_paused = true)]
#[should_panic]
#[ignore = "why not"]
async fn others() {}

fn main() {}
