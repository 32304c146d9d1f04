//! `pool = "sandbox"`: sqlx's argument types on one transaction.

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Acquire as _, Postgres};

use crate::support::{add, customers, nothing_is_left, panic_message, session};

#[ebbtide::test(pool = "sandbox", fixtures("laura"))]
async fn the_pool_of_a_sandbox_has_one_transaction(pool: PgPool, same: PgPool) {
    assert_eq!(customers(&pool).await, ["Laura"]);
    // `now()` is the start of the transaction; outside of one, it differs between statements.
    let now = "select now()::text";
    let began: String = sqlx::query_scalar(now).fetch_one(&pool).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    add(&mut *transaction, "Marta").await;
    transaction.commit().await.unwrap();
    let mut undone = same.begin().await.unwrap();
    add(&mut *undone, "Olga").await;
    undone.rollback().await.unwrap();
    assert_eq!(customers(&same).await, ["Laura", "Marta"]);
    assert_eq!(
        sqlx::query_scalar::<_, String>(now)
            .fetch_one(&same)
            .await
            .unwrap(),
        began
    );
}

#[ebbtide::test(pool = "sandbox")]
async fn the_connection_of_a_sandbox_has_one_transaction(mut connection: PoolConnection<Postgres>) {
    assert_eq!(customers(&mut *connection).await, [""; 0]);
    let before = session(&mut *connection).await;
    let mut transaction = connection.begin().await.unwrap();
    assert_eq!(add(&mut *transaction, "Laura").await, 1);
    transaction.commit().await.unwrap();
    assert_eq!(customers(&mut *connection).await, ["Laura"]);
    assert_eq!(session(&mut *connection).await, before);
}

#[ebbtide::test(pool = "database")]
async fn the_pool_of_a_database_has_several_sessions(pool: PgPool) {
    let mut held = pool.acquire().await.unwrap();
    assert_eq!(add(&mut *held, "Laura").await, 1);
    assert_eq!(customers(&pool).await, ["Laura"], "another session sees it");
}

#[test]
fn the_commits_of_the_application_are_rolled_back_after_the_test() {
    #[ebbtide::test(pool = "sandbox")]
    async fn committing(pool: PgPool) {
        let mut transaction = pool.begin().await.unwrap();
        assert_eq!(add(&mut *transaction, "Laura").await, 1);
        transaction.commit().await.unwrap();
        assert_eq!(customers(&pool).await, ["Laura"]);
    }
    for _ in 0..3 {
        committing();
        nothing_is_left();
    }
}

#[test]
fn connect_options_and_pool_options_are_rejected() {
    #[ebbtide::test(pool = "sandbox")]
    async fn connect_options(_: PgConnectOptions) {
        unreachable!("the argument could not be made");
    }
    #[ebbtide::test(pool = "sandbox")]
    async fn pool_options(_: PgPoolOptions) {
        unreachable!("the argument could not be made");
    }
    for (test, named) in [
        (connect_options as fn(), "PgConnectOptions"),
        (pool_options, "PgPoolOptions"),
    ] {
        assert_eq!(
            panic_message(test),
            format!(
                "the test has not begun: a test with pool = \"sandbox\" has one connection, so it cannot have \
                 {named}\n  help: take a PgPool instead, or set pool = \"database\", which is the default"
            )
        );
    }
}
