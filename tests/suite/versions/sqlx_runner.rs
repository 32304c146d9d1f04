//! sqlx's own runner and an embedded migrator, compared with ebbtide's way between versions.

use ebbtide::{Database, Setup};
use sqlx::PgPool;
use sqlx::migrate::Migrator;

use super::project::LAYOUTS;
use crate::support::Scratch;

/// The rows of the ledger without times.
async fn ledger(pool: &PgPool) -> Vec<(i64, String, bool, Vec<u8>)> {
    let rows =
        "select version, description, success, checksum from _sqlx_migrations order by version";
    sqlx::query_as(rows).fetch_all(pool).await.unwrap()
}

async fn migrator(scratch: &Scratch) -> &'static Migrator {
    let migrator = Migrator::new(scratch.path("migrations")).await.unwrap();
    Box::leak(Box::new(migrator))
}

async fn close_all(databases: impl IntoIterator<Item = Database>) {
    for database in databases {
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn both_ways_leave_the_ledger_that_sqlx_leaves() {
    let scratch = Scratch::new();
    let harness = LAYOUTS[0].builder(&scratch).build().unwrap();
    let migrator = migrator(&scratch).await;
    let setup = Setup::new().migrations_up_to(9);
    let ours = harness.with_setup(setup).database().await.unwrap();
    let empty = harness.with_setup(Setup::new().without_migrations());
    let sqlxs = empty.database().await.unwrap();
    migrator.run_to(9, &sqlxs.pool()).await.unwrap();
    assert_eq!(ledger(&ours.pool()).await, ledger(&sqlxs.pool()).await);
    ours.migrate_to(10).await.unwrap();
    migrator.run_to(10, &sqlxs.pool()).await.unwrap();
    assert_eq!(ledger(&ours.pool()).await, ledger(&sqlxs.pool()).await);
    ours.migrate().await.unwrap();
    migrator.run(&sqlxs.pool()).await.unwrap();
    assert_eq!(ledger(&ours.pool()).await, ledger(&sqlxs.pool()).await);
    ours.migrate_to(9).await.unwrap();
    migrator.undo(&sqlxs.pool(), 9).await.unwrap();
    assert_eq!(ledger(&ours.pool()).await, ledger(&sqlxs.pool()).await);
    assert_eq!(ledger(&ours.pool()).await.len(), 1);
    let setup = Setup::new().migrations_up_to(9);
    let report = harness.with_setup(setup).diff(sqlxs.url()).await.unwrap();
    assert!(report.is_clean(), "{report}");
    close_all([ours, sqlxs]).await;
}

#[tokio::test]
async fn sqlx_applies_the_rest_and_finds_nothing_pending_afterwards() {
    let scratch = Scratch::new();
    let harness = LAYOUTS[0].builder(&scratch).build().unwrap();
    let migrator = migrator(&scratch).await;
    let at_nine = harness.with_setup(Setup::new().migrations_up_to(9));
    let by_sqlx = at_nine.database().await.unwrap();
    migrator.run(&by_sqlx.pool()).await.unwrap();
    let by_us = at_nine.database().await.unwrap();
    by_us.migrate().await.unwrap();
    assert_eq!(ledger(&by_us.pool()).await, ledger(&by_sqlx.pool()).await);
    migrator.run(&by_us.pool()).await.unwrap();
    assert_eq!(ledger(&by_us.pool()).await.len(), 3);
    close_all([by_sqlx, by_us]).await;
}

#[tokio::test]
async fn an_embedded_migrator_has_versions() {
    let scratch = Scratch::new();
    let harness = LAYOUTS[0].builder(&scratch).build().unwrap();
    let migrator = migrator(&scratch).await;
    let setup = Setup::new().migrator(migrator).migrations_up_to(9);
    let database = harness.with_setup(setup).database().await.unwrap();
    assert_eq!(ledger(&database.pool()).await.len(), 1);
    assert_eq!(
        database.migrate_to(10).await.unwrap().to_string(),
        "applied 10"
    );
    assert_eq!(database.migrate().await.unwrap().to_string(), "applied 41");
    assert_eq!(
        database.migrate_to(9).await.unwrap().to_string(),
        "reverted 41, 10"
    );
    let setup = Setup::new().migrator(migrator).migrations_up_to(42);
    let error = harness.with_setup(setup).database().await.unwrap_err();
    assert_eq!(error.kind(), ebbtide::ErrorKind::MigrationSource);
    assert!(
        format!("{error:?}").contains("the migrator: 9, 10, 41"),
        "{error:?}"
    );
    database.close().await.unwrap();
}
