//! `migrations_up_to`: a test begins at a version and migrates to later ones.

use ebbtide::Database;
use sqlx::postgres::PgPool;

use crate::support::tables;

#[ebbtide::test(migrations = "embedded", migrations_up_to = 1)]
async fn a_number_is_a_version(db: Database) -> sqlx::Result<()> {
    assert_eq!(tables(&db.pool()).await, ["trains"]);
    let insert = "insert into trains values ('Talgo')";
    sqlx::query(insert).execute(&db.pool()).await?;
    let change = db.migrate_to(2).await.unwrap();
    assert_eq!(change.to_string(), "applied 2");
    assert_eq!(tables(&db.pool()).await, ["trains", "wagons"]);
    let trains: Vec<String> = sqlx::query_scalar("select name from trains")
        .fetch_all(&db.pool())
        .await?;
    assert_eq!(trains, ["Talgo"]);
    Ok(())
}

#[ebbtide::test(migrator = "crate::migration_forms::MIGRATOR", migrations_up_to = "1")]
async fn a_migrator_has_versions(pool: PgPool) {
    assert_eq!(tables(&pool).await, ["trains"]);
}

#[ebbtide::test(migrations_up_to = ("migrations", 1))]
async fn the_plans_seeds_are_not_loaded(db: Database) {
    let count = "select count(*) from services";
    let services: i64 = sqlx::query_scalar(count)
        .fetch_one(&db.pool())
        .await
        .unwrap();
    assert_eq!(services, 0);
    assert_eq!(db.migrate().await.unwrap().to_string(), "nothing ran");
}

#[ebbtide::test(migrations_up_to = 1, fixtures("laura"))]
async fn fixtures_are_rows_of_the_version(mut tx: ebbtide::Tx) {
    let count = "select count(*) from customers";
    let customers: i64 = sqlx::query_scalar(count).fetch_one(&mut *tx).await.unwrap();
    assert_eq!(customers, 1);
}

#[test]
fn a_version_that_does_not_exist_fails_the_test() {
    #[ebbtide::test(migrations = "embedded", migrations_up_to = 41)]
    async fn subject(_db: Database) {}
    let Some(output) =
        crate::child_process::run_in_child(crate::child_process::this_test!(), subject)
    else {
        return;
    };
    output
        .assert_failed()
        .assert_contains("none has version 41")
        .assert_contains("1, 2 (2 in all)");
}
