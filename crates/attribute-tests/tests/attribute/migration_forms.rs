//! Where the migrations come from.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgPool;

use crate::support::{services, tables};

static MIGRATOR: Migrator = sqlx::migrate!("./embedded");
/// The same versions, and another text in the first.
static CHANGED: Migrator = sqlx::migrate!("./embedded_changed");

async fn ledger(pool: &PgPool) -> Vec<i64> {
    sqlx::query_scalar("select version from _sqlx_migrations order by version")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[ebbtide::test]
async fn the_packages_own_unless_said_otherwise(pool: PgPool) {
    assert_eq!(tables(&pool).await, ["customers", "orders", "services"]);
    assert_eq!(
        services(&pool).await,
        ["cut", "wash"],
        "with the plan's seeds"
    );
    assert_eq!(ledger(&pool).await, [1]);
    sqlx::query("drop table orders")
        .execute(&pool)
        .await
        .unwrap();
}

#[ebbtide::test(migrations = "other/migrations")]
async fn a_directory_from_the_packages_root(pool: PgPool) {
    assert_eq!(
        tables(&pool).await,
        ["ships"],
        "and no seeds of the plan, which have no table"
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
async fn a_directory_and_fixtures(mut tx: ebbtide::Tx) {
    let ships: Vec<String> = sqlx::query_scalar("select name from ships")
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    assert_eq!(ships, ["Nautilus"]);
}

#[ebbtide::test(migrations = false)]
async fn none_at_all(pool: PgPool) {
    assert_eq!(tables(&pool).await, [""; 0]);
    sqlx::query("create table ships (name text)")
        .execute(&pool)
        .await
        .unwrap();
}

#[ebbtide::test(migrations = false)]
async fn a_test_may_migrate_by_itself(pool: PgPool) {
    assert_eq!(tables(&pool).await, [""; 0]);
    MIGRATOR.run(&pool).await.unwrap();
    assert_eq!(tables(&pool).await, ["trains", "wagons"]);
}

#[ebbtide::test(migrator = "crate::migration_forms::MIGRATOR")]
async fn a_migrator_by_its_path(pool: PgPool) {
    assert_eq!(tables(&pool).await, ["trains", "wagons"]);
    assert_eq!(ledger(&pool).await, [1, 2]);
    sqlx::query("insert into trains values ('Talgo')")
        .execute(&pool)
        .await
        .unwrap();
}

#[ebbtide::test(migrator = "MIGRATOR")]
async fn a_migrator_by_its_name(mut tx: ebbtide::Tx) {
    assert_eq!(tables(&mut *tx).await, ["trains", "wagons"]);
    let trains: i64 = sqlx::query_scalar("select count(*) from trains")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(trains, 0);
}

#[ebbtide::test(migrator = "CHANGED")]
async fn another_migrator_is_another_database(pool: PgPool) {
    let columns: i64 = sqlx::query_scalar(
        "select count(*) from information_schema.columns where table_schema = 'public' and table_name = 'trains'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(columns, 2);
}

#[ebbtide::test(migrator = "MIGRATOR")]
async fn an_application_that_migrates_has_nothing_to_do(pool: PgPool) {
    MIGRATOR.run(&pool).await.unwrap();
    assert_eq!(ledger(&pool).await, [1, 2]);
}

#[ebbtide::test(migrator = "MIGRATOR")]
async fn an_application_with_changed_migrations_is_refused_by_sqlx(pool: PgPool) {
    let error = CHANGED.run(&pool).await.unwrap_err();
    assert!(
        matches!(error, MigrateError::VersionMismatch(1)),
        "{error:?}"
    );
}

#[test]
fn the_refusal_of_changed_migrations_is_shown_as_sqlx_says_it() {
    #[ebbtide::test(migrator = "MIGRATOR")]
    async fn subject(pool: PgPool) {
        CHANGED.run(&pool).await.unwrap();
    }
    let Some(said) = crate::again::played(crate::again::here!(), subject) else {
        return;
    };
    said.failed().tells("VersionMismatch(1)");
}
