//! `pool = "sandbox"`: sqlx's types on a transaction.

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Acquire as _, Postgres};

use crate::support::{add, complaint, customers, nothing_is_left, session};

#[ebbtide::test(pool = "sandbox", fixtures("laura"))]
async fn a_pool_on_one_transaction(pool: PgPool, same: PgPool) {
    assert_eq!(customers(&pool).await, ["Laura"]);
    // The beginning of the transaction; with commits, it would be that of each statement.
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
async fn a_connection_on_one_transaction(mut connection: PoolConnection<Postgres>) {
    assert_eq!(customers(&mut *connection).await, [""; 0]);
    let before = session(&mut *connection).await;
    let mut transaction = connection.begin().await.unwrap();
    assert_eq!(add(&mut *transaction, "Laura").await, 1);
    transaction.commit().await.unwrap();
    assert_eq!(customers(&mut *connection).await, ["Laura"]);
    assert_eq!(session(&mut *connection).await, before);
}

#[ebbtide::test(pool = "database")]
async fn a_pool_on_a_database(pool: PgPool) {
    let mut held = pool.acquire().await.unwrap();
    assert_eq!(add(&mut *held, "Laura").await, 1);
    assert_eq!(customers(&pool).await, ["Laura"], "another session sees it");
}

#[test]
fn what_the_application_commits_is_rolled_back() {
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
fn options_for_connections_are_refused() {
    #[ebbtide::test(pool = "sandbox")]
    async fn connect_options(_: PgConnectOptions) {
        unreachable!("there is no such argument");
    }
    #[ebbtide::test(pool = "sandbox")]
    async fn pool_options(_: PgPoolOptions) {
        unreachable!("there is no such argument");
    }
    for (test, named) in [
        (connect_options as fn(), "PgConnectOptions"),
        (pool_options, "PgPoolOptions"),
    ] {
        assert_eq!(
            complaint(test),
            format!(
                "the test has not begun: a test with pool = \"sandbox\" has one connection, so it cannot have \
                 {named}\n  help: ask for PgPool, or leave the isolation at \"database\""
            )
        );
    }
}
