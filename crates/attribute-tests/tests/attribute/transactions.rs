//! `isolation_level` and `savepoints`: what they make of a test's transactions.

use ebbtide::{IsolationLevel, Tx, TxOptions};

use crate::support::{add, customers, nothing_is_left};

async fn level(tx: &mut Tx) -> String {
    sqlx::query_scalar("show transaction_isolation")
        .fetch_one(&mut **tx)
        .await
        .unwrap()
}

/// The code of the error in the statement after one that has failed, if there is one.
async fn after_a_failure(tx: &mut Tx) -> Option<String> {
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
async fn statements_undo_only_themselves(mut tx: Tx, mut another: Tx) {
    let mut asked_for = ebbtide::tx().await.unwrap();
    for tx in [&mut tx, &mut another, &mut asked_for] {
        add(&mut **tx, "Marta").await;
        assert_eq!(after_a_failure(tx).await, None);
        assert_eq!(customers(&mut **tx).await, ["Laura", "Marta"]);
    }
}

#[ebbtide::test(isolation_level = "serializable")]
async fn transactions_are_serializable(mut tx: Tx) {
    assert_eq!(level(&mut tx).await, "serializable");
    assert_eq!(
        level(&mut ebbtide::tx().await.unwrap()).await,
        "serializable"
    );
    assert_eq!(after_a_failure(&mut tx).await.as_deref(), Some("25P02"));
}

#[ebbtide::test(isolation_level = "repeatable read", savepoints)]
async fn a_test_may_have_both(mut tx: Tx) {
    assert_eq!(level(&mut tx).await, "repeatable read");
    assert_eq!(after_a_failure(&mut tx).await, None);
}

#[ebbtide::test(isolation_level = "serializable", savepoints)]
async fn what_is_said_in_the_middle_counts() {
    let options = TxOptions::new().isolation_level(IsolationLevel::RepeatableRead);
    let mut tx = ebbtide::tx_with(options).await.unwrap();
    assert_eq!(level(&mut tx).await, "repeatable read");
    assert_eq!(after_a_failure(&mut tx).await.as_deref(), Some("25P02"));
}

#[ebbtide::test]
async fn other_tests_have_neither(mut tx: Tx) {
    assert_eq!(level(&mut tx).await, "read committed");
    assert_eq!(after_a_failure(&mut tx).await.as_deref(), Some("25P02"));
}

#[test]
fn nothing_is_left_of_statements_that_stayed() {
    #[ebbtide::test(savepoints)]
    async fn going_on(mut tx: Tx) {
        assert_eq!(add(&mut *tx, "Laura").await, 1);
        assert_eq!(after_a_failure(&mut tx).await, None);
        assert_eq!(add(&mut *tx, "Marta").await, 2);
    }
    for _ in 0..3 {
        going_on();
        nothing_is_left();
    }
}
