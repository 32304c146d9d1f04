//! `migrations` and `migrator`: where a test's migrations come from.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgPool;

use crate::support::{services, tables};

pub(crate) static MIGRATOR: Migrator = sqlx::migrate!("./embedded");
/// The same versions; the first migration has other SQL.
static CHANGED: Migrator = sqlx::migrate!("./embedded_changed");

async fn ledger(pool: &PgPool) -> Vec<i64> {
    sqlx::query_scalar("select version from _sqlx_migrations order by version")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[ebbtide::test]
async fn without_an_option_the_migrations_are_the_plans(pool: PgPool) {
    assert_eq!(tables(&pool).await, ["customers", "orders", "services"]);
    assert_eq!(
        services(&pool).await,
        ["cut", "wash"],
        "the plan's seeds are inserted"
    );
    assert_eq!(ledger(&pool).await, [1]);
    sqlx::query("drop table orders")
        .execute(&pool)
        .await
        .unwrap();
}

#[ebbtide::test(migrations = "other/migrations")]
async fn a_directory_is_relative_to_the_packages_root(pool: PgPool) {
    assert_eq!(
        tables(&pool).await,
        ["ships"],
        "the plan's seeds do not belong to other migrations"
    );
    let ships: i64 = sqlx::query_scalar("select count(*) from ships")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!((ships, ledger(&pool).await), (0, vec![1]));
    sqlx::query("insert into ships values ('Nautilus')")
        .execute(&pool)
        .await
        .unwrap();
}

#[ebbtide::test(migrations = "./other/migrations/", fixtures("nautilus"))]
async fn a_directory_and_fixtures_work_together(mut tx: ebbtide::Tx) {
    let ships: Vec<String> = sqlx::query_scalar("select name from ships")
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    assert_eq!(ships, ["Nautilus"]);
}

#[ebbtide::test(migrations = false)]
async fn without_migrations_the_database_is_empty(pool: PgPool) {
    assert_eq!(tables(&pool).await, [""; 0]);
    sqlx::query("create table ships (name text)")
        .execute(&pool)
        .await
        .unwrap();
}

#[ebbtide::test(migrations = false)]
async fn without_migrations_the_test_can_migrate_by_itself(pool: PgPool) {
    assert_eq!(tables(&pool).await, [""; 0]);
    MIGRATOR.run(&pool).await.unwrap();
    assert_eq!(tables(&pool).await, ["trains", "wagons"]);
}

#[ebbtide::test(migrator = "crate::migration_forms::MIGRATOR")]
async fn a_migrator_is_found_by_its_path(pool: PgPool) {
    assert_eq!(tables(&pool).await, ["trains", "wagons"]);
    assert_eq!(ledger(&pool).await, [1, 2]);
    sqlx::query("insert into trains values ('Talgo')")
        .execute(&pool)
        .await
        .unwrap();
}

#[ebbtide::test(migrator = "MIGRATOR")]
async fn a_migrator_is_found_by_its_name(mut tx: ebbtide::Tx) {
    assert_eq!(tables(&mut *tx).await, ["trains", "wagons"]);
    let trains: i64 = sqlx::query_scalar("select count(*) from trains")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(trains, 0);
}

#[ebbtide::test(migrator = "CHANGED")]
async fn another_migrator_has_a_database_of_its_own(pool: PgPool) {
    let columns: i64 = sqlx::query_scalar(
        "select count(*) from information_schema.columns where table_schema = 'public' and table_name = 'trains'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(columns, 2);
}

#[ebbtide::test(migrator = "MIGRATOR")]
async fn an_application_with_the_same_migrations_applies_none(pool: PgPool) {
    MIGRATOR.run(&pool).await.unwrap();
    assert_eq!(ledger(&pool).await, [1, 2]);
}

#[ebbtide::test(migrator = "MIGRATOR")]
async fn sqlx_rejects_an_application_with_changed_migrations(pool: PgPool) {
    let error = CHANGED.run(&pool).await.unwrap_err();
    assert!(
        matches!(error, MigrateError::VersionMismatch(1)),
        "{error:?}"
    );
}

#[test]
fn the_report_contains_sqlx_error_for_changed_migrations() {
    #[ebbtide::test(migrator = "MIGRATOR")]
    async fn subject(pool: PgPool) {
        CHANGED.run(&pool).await.unwrap();
    }
    let Some(output) =
        crate::child_process::run_in_child(crate::child_process::this_test!(), subject)
    else {
        return;
    };
    output.assert_failed().assert_contains("VersionMismatch(1)");
}
