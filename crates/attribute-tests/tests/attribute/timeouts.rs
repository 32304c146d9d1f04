//! Statements that a client abandons while they run.

use std::time::{Duration, Instant};

use ebbtide::{Sandbox, Tx};
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, PgExecutor};
use tokio::time::timeout;

use crate::support::{add, nothing_is_left, panic_message, sessions, wait_until_gone};

/// A condition on `pg_stat_activity`: the server executes the statement with this comment.
const RUNNING: &str = "query = 'select pg_sleep(60) /* ' || $1 || ' */' and state = 'active'";

/// A comment for a statement, so that [`RUNNING`] matches only the statement of this process.
fn mark(test: &str) -> String {
    format!("{test} of {}", std::process::id())
}

/// Abandons a long statement, and asserts that the server still executes it.
async fn abandon_statement<'e>(database: impl PgExecutor<'e>, mark: &str, observer: &mut Tx) {
    let statement = AssertSqlSafe(format!("select pg_sleep(60) /* {mark} */"));
    timeout(
        Duration::from_secs(1),
        sqlx::query(statement).execute(database),
    )
    .await
    .unwrap_err();
    assert_eq!(sessions(observer, RUNNING, mark).await, 1);
}

/// Runs a test that abandons a statement. Asserts that the statement ends early, and that the test
/// leaves nothing behind.
fn assert_ended_early(test: impl FnOnce(), mark: &str) {
    let began = Instant::now();
    test();
    wait_until_gone(RUNNING, mark);
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "ebbtide waited for the end of the statement: {:?}",
        began.elapsed()
    );
    nothing_is_left();
}

#[test]
fn an_abandoned_statement_of_a_tx_is_ended() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx, mut observer: Tx) {
        add(&mut *tx, "Laura").await;
        abandon_statement(&mut *tx, &mark("tx"), &mut observer).await;
    }
    assert_ended_early(subject, &mark("tx"));
}

#[test]
fn an_abandoned_statement_of_a_sandbox_is_ended() {
    #[ebbtide::test]
    async fn subject(sandbox: Sandbox, mut observer: Tx) {
        add(&*sandbox, "Laura").await;
        abandon_statement(&*sandbox, &mark("sandbox"), &mut observer).await;
    }
    assert_ended_early(subject, &mark("sandbox"));
}

#[test]
fn an_abandoned_statement_of_a_pool_is_ended() {
    #[ebbtide::test]
    async fn subject(pool: PgPool, mut observer: Tx) {
        add(&pool, "Laura").await;
        abandon_statement(&pool, &mark("pool"), &mut observer).await;
    }
    assert_ended_early(subject, &mark("pool"));
}

#[test]
fn an_abandoned_statement_of_a_pools_transaction_is_ended_when_the_test_panics() {
    #[ebbtide::test]
    async fn subject(pool: PgPool, mut observer: Tx) {
        let mut transaction = pool.begin().await.unwrap();
        add(&mut *transaction, "Laura").await;
        abandon_statement(&mut *transaction, &mark("panic"), &mut observer).await;
        panic!("on purpose");
    }
    let part = || assert_eq!(panic_message(subject), "on purpose");
    assert_ended_early(part, &mark("panic"));
}
