//! How a test with savepoints ends, and what the next test finds.

use std::time::Instant;

use super::{add, assert_refused, harness, names, with_savepoints};
use crate::support::Scratch;
use crate::support::sql::run;
use crate::support::wait::HANG_LIMIT;
use ebbtide::{ErrorKind, Tx};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

async fn backend_pid(tx: &mut Tx) -> i32 {
    sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut **tx)
        .await
        .unwrap()
}

#[tokio::test]
async fn nothing_of_a_test_reaches_the_next_one() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for _ in 0..3 {
        let mut tx = with_savepoints(&harness).await;
        assert_eq!(add(&mut tx, "Laura").await.unwrap(), 1);
        assert_refused(add(&mut tx, "Laura").await, "23505");
        // A failed insert consumes a number of the sequence, as it always does.
        assert_eq!(add(&mut tx, "Marta").await.unwrap(), 3);
        run(
            &mut tx,
            "select nextval('tickets'); select pg_advisory_lock(1); set search_path = nowhere",
        )
        .await
        .unwrap();
        tx.close().await.unwrap();
        // A transaction that is dropped, and one without savepoints.
        let mut tx = with_savepoints(&harness).await;
        assert_eq!(add(&mut tx, "Laura").await.unwrap(), 1);
        drop(tx);
        let mut plain = harness.tx().await.unwrap();
        assert_eq!(add(&mut plain, "Laura").await.unwrap(), 1);
        let ticket: i64 = sqlx::query_scalar("select nextval('tickets')")
            .fetch_one(&mut *plain)
            .await
            .unwrap();
        assert_eq!(ticket, 100);
        assert_refused(add(&mut plain, "Laura").await, "23505");
        assert_refused(add(&mut plain, "Marta").await, "25P02");
        plain.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_kept_database_has_the_rows_from_before_a_failed_statement() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    add(&mut tx, "Laura").await.unwrap();
    assert_refused(add(&mut tx, "Laura").await, "23505");
    let kept = tx.keep().await.unwrap();
    let mut connection = PgConnection::connect(&kept.url).await.unwrap();
    assert_eq!(names(&mut connection).await, ["Laura"]);
    connection.close().await.unwrap();
}

#[tokio::test]
async fn large_messages_pass_in_both_directions() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    let large = "x".repeat(5_000_000);
    let returned: String = sqlx::query_scalar("select $1")
        .bind(&large)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert!(returned == large);
    let sql = format!("select length('{large}')::bigint, g from generate_series(1, 100000) g");
    let rows: Vec<(i64, i32)> = sqlx::query_as(AssertSqlSafe(sql))
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    assert_eq!((rows.len(), rows[99_999]), (100_000, (5_000_000, 100_000)));
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_terminated_session_fails_the_test() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    let pid = backend_pid(&mut tx).await;
    let mut other = PgConnection::connect(&tx.url()).await.unwrap();
    sqlx::query("select pg_terminate_backend($1)")
        .bind(pid)
        .execute(&mut other)
        .await
        .unwrap();
    assert!(add(&mut tx, "Laura").await.is_err());
    assert_eq!(tx.close().await.unwrap_err().kind(), ErrorKind::ServerLost);
    other.close().await.unwrap();
    let mut next = harness.tx().await.unwrap();
    assert_eq!(names(&mut next).await, [""; 0]);
    next.close().await.unwrap();
}

#[tokio::test]
async fn the_session_ends_with_the_test() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    let pid = backend_pid(&mut tx).await;
    // Outside a transaction, in which pg_stat_activity would return the same snapshot each time. On
    // another database, because the sessions of this one are terminated with the test.
    let options: sqlx::postgres::PgConnectOptions = tx.url().parse().unwrap();
    let mut witness = PgConnection::connect_with(&options.database("postgres"))
        .await
        .unwrap();
    let query = "select exists (select from pg_stat_activity where pid = $1)";
    let mut is_running = async || {
        sqlx::query_scalar::<_, bool>(query)
            .bind(pid)
            .fetch_one(&mut witness)
            .await
            .unwrap()
    };
    assert!(is_running().await);
    tx.close().await.unwrap();
    let deadline = Instant::now() + HANG_LIMIT;
    while is_running().await {
        assert!(
            Instant::now() < deadline,
            "the relayed session still exists"
        );
        tokio::task::yield_now().await;
    }
    witness.close().await.unwrap();
}
