//! `isolation_level` and `savepoints`: their effect on a test's transactions.

use ebbtide::{Tx, TxOptions};

use ebbtide::config::IsolationLevel;

use crate::support::{add, customers, nothing_is_left};

async fn level(tx: &mut Tx) -> String {
    sqlx::query_scalar("show transaction_isolation")
        .fetch_one(&mut **tx)
        .await
        .unwrap()
}

/// The SQLSTATE of the statement that follows a failed one, or `None` if it succeeds.
async fn sqlstate_after_a_failure(tx: &mut Tx) -> Option<String> {
    sqlx::query("select 1/0")
        .execute(&mut **tx)
        .await
        .unwrap_err();
    let error = sqlx::query("select 1").execute(&mut **tx).await.err()?;
    Some(
        error
            .into_database_error()
            .unwrap()
            .code()
            .unwrap()
            .into_owned(),
    )
}

#[ebbtide::test(savepoints, fixtures("laura"))]
async fn with_savepoints_a_failed_statement_undoes_only_itself(mut tx: Tx, mut another: Tx) {
    let mut opened = ebbtide::tx().await.unwrap();
    for tx in [&mut tx, &mut another, &mut opened] {
        add(&mut **tx, "Marta").await;
        assert_eq!(sqlstate_after_a_failure(tx).await, None);
        assert_eq!(customers(&mut **tx).await, ["Laura", "Marta"]);
    }
}

#[ebbtide::test(isolation_level = "serializable")]
async fn the_isolation_level_applies_to_every_transaction_of_the_test(mut tx: Tx) {
    assert_eq!(level(&mut tx).await, "serializable");
    assert_eq!(
        level(&mut ebbtide::tx().await.unwrap()).await,
        "serializable"
    );
    assert_eq!(
        sqlstate_after_a_failure(&mut tx).await.as_deref(),
        Some("25P02")
    );
}

#[ebbtide::test(isolation_level = "repeatable read", savepoints)]
async fn an_isolation_level_and_savepoints_work_together(mut tx: Tx) {
    assert_eq!(level(&mut tx).await, "repeatable read");
    assert_eq!(sqlstate_after_a_failure(&mut tx).await, None);
}

#[ebbtide::test(isolation_level = "serializable", savepoints)]
async fn options_that_are_opened_override_the_tests_options() {
    let options = TxOptions::new().isolation_level(IsolationLevel::RepeatableRead);
    let mut tx = options.open().await.unwrap();
    assert_eq!(level(&mut tx).await, "repeatable read");
    assert_eq!(
        sqlstate_after_a_failure(&mut tx).await.as_deref(),
        Some("25P02")
    );
}

#[ebbtide::test]
async fn without_options_a_test_has_neither(mut tx: Tx) {
    assert_eq!(level(&mut tx).await, "read committed");
    assert_eq!(
        sqlstate_after_a_failure(&mut tx).await.as_deref(),
        Some("25P02")
    );
}

#[test]
fn the_statements_around_a_failed_one_leave_nothing_behind() {
    #[ebbtide::test(savepoints)]
    async fn continuing(mut tx: Tx) {
        assert_eq!(add(&mut *tx, "Laura").await, 1);
        assert_eq!(sqlstate_after_a_failure(&mut tx).await, None);
        assert_eq!(add(&mut *tx, "Marta").await, 2);
    }
    for _ in 0..3 {
        continuing();
        nothing_is_left();
    }
}
