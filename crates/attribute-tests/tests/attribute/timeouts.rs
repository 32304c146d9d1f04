//! Statements that are given up in the middle.

use std::time::{Duration, Instant};

use ebbtide::{Sandbox, Tx};
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, PgExecutor};
use tokio::time::timeout;

use crate::support::{add, complaint, nothing_is_left, sessions, wait_until_gone};

const SLEEPS: &str = "query = 'select pg_sleep(60) /* ' || $1 || ' */' and state = 'active'";

/// So that nobody else's statement is taken for this process's own.
fn mark(test: &str) -> String {
    format!("{test} of {}", std::process::id())
}

/// Gives up a long statement, and sees the server still at work on it.
async fn give_up<'e>(database: impl PgExecutor<'e>, mark: &str, looking: &mut Tx) {
    let statement = AssertSqlSafe(format!("select pg_sleep(60) /* {mark} */"));
    timeout(
        Duration::from_secs(1),
        sqlx::query(statement).execute(database),
    )
    .await
    .unwrap_err();
    assert_eq!(sessions(looking, SLEEPS, mark).await, 1);
}

/// Runs a test that gives up a statement: nobody waits for the statement's own end, and nothing is left.
fn assert_ended(test: impl FnOnce(), mark: &str) {
    let began = Instant::now();
    test();
    wait_until_gone(SLEEPS, mark);
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "somebody waited: {:?}",
        began.elapsed()
    );
    nothing_is_left();
}

#[test]
fn in_a_transaction() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx, mut looking: Tx) {
        add(&mut *tx, "Laura").await;
        give_up(&mut *tx, &mark("tx"), &mut looking).await;
    }
    assert_ended(subject, &mark("tx"));
}

#[test]
fn in_a_sandbox() {
    #[ebbtide::test]
    async fn subject(sandbox: Sandbox, mut looking: Tx) {
        add(&*sandbox, "Laura").await;
        give_up(&*sandbox, &mark("sandbox"), &mut looking).await;
    }
    assert_ended(subject, &mark("sandbox"));
}

#[test]
fn in_a_pool() {
    #[ebbtide::test]
    async fn subject(pool: PgPool, mut looking: Tx) {
        add(&pool, "Laura").await;
        give_up(&pool, &mark("pool"), &mut looking).await;
    }
    assert_ended(subject, &mark("pool"));
}

#[test]
fn in_a_transaction_of_a_pool_while_the_test_panics() {
    #[ebbtide::test]
    async fn subject(pool: PgPool, mut looking: Tx) {
        let mut transaction = pool.begin().await.unwrap();
        add(&mut *transaction, "Laura").await;
        give_up(&mut *transaction, &mark("panic"), &mut looking).await;
        panic!("on purpose");
    }
    let part = || assert_eq!(complaint(subject), "on purpose");
    assert_ended(part, &mark("panic"));
}
