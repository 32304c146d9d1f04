//! The messages of tests that fail, and that they leave nothing behind.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ebbtide::{Database, Sandbox, Tx};
use sqlx::postgres::PgPool;

use crate::child_process::{is_child, run_in_child, run_test, this_test};
use crate::support::{add, nothing_is_left, order_of_missing_customer};

/// Runs a test that must fail, then asserts that it left nothing behind. The outer test passes, so
/// only stderr contains the failure.
fn fails_and_leaves_nothing(test: impl FnOnce()) {
    catch_unwind(AssertUnwindSafe(test)).expect_err("the test must fail");
    nothing_is_left();
}

#[test]
fn an_error_in_a_fixture_is_reported_with_file_line_and_column() {
    #[ebbtide::test(fixtures("broken"))]
    async fn subject(_: Tx) {
        panic!("the test began");
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    output
        .assert_failed()
        .assert_contains("the test has not begun: ")
        .assert_contains("fixtures/broken.sql:3:30")
        .assert_contains("column \"age\" of relation \"customers\" does not exist")
        .assert_contains("insert into customers (name, age) values ('Marta', 40);\n")
        .assert_contains("                             ^")
        .assert_contains("SQLSTATE 42703")
        .assert_contains("\n  help: ")
        .assert_lacks("the test began");
}

#[test]
fn a_violated_deferred_constraint_fails_a_test_whose_body_succeeds() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        order_of_missing_customer(&mut *tx).await;
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    output.assert_failed()
        .assert_contains("the deferred constraint orders_customer_fkey does not hold at the end of test outcomes::subject\n")
        .assert_contains("\n  caused by: insert or update on table \"orders\" violates foreign key constraint \"orders_customer_fkey\"\n")
        .assert_contains("is not present in table \"customers\".")
        .assert_contains("\n  help: ");
}

#[test]
fn a_violated_deferred_constraint_is_reported_in_addition_to_a_panic() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        order_of_missing_customer(&mut *tx).await;
        panic!("the test's message");
    }
    let Some(output) = run_in_child(this_test!(), || fails_and_leaves_nothing(subject)) else {
        return;
    };
    output.assert_passed().assert_contains("the test's message").assert_contains(
        "ebbtide: at the end of the test: the deferred constraint orders_customer_fkey does not hold at the end of test \
         outcomes::subject",
    );
}

#[test]
fn a_panic_keeps_its_message_and_leaves_nothing_behind() {
    #[ebbtide::test(fixtures("laura"))]
    async fn subject(mut tx: Tx, sandbox: Sandbox, database: Database, pool: PgPool) {
        let mut inner = tx.begin().await.unwrap();
        add(&mut *inner, "Marta").await;
        let mut transaction = sandbox.begin().await.unwrap();
        add(&mut *transaction, "Marta").await;
        add(&database.pool(), "Marta").await;
        let mut committed = pool.begin().await.unwrap();
        add(&mut *committed, "Marta").await;
        panic!("the test's message");
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    output
        .assert_failed()
        .assert_contains("outcomes.rs:")
        .assert_contains(":\nthe test's message\n")
        .assert_lacks("ebbtide: at the end");
    for _ in 0..2 {
        fails_and_leaves_nothing(subject);
    }
}

#[test]
fn a_panic_of_a_test_without_a_runtime_keeps_its_message() {
    #[ebbtide::test]
    fn subject(_tx: Tx, _database: Database) {
        panic!("the test's message");
    }
    let Some(output) = run_in_child(this_test!(), || fails_and_leaves_nothing(subject)) else {
        return;
    };
    output
        .assert_passed()
        .assert_contains(":\nthe test's message\n")
        .assert_lacks("ebbtide: at the end");
}

#[test]
fn an_error_that_a_test_returns_is_printed_as_libtest_prints_it() -> Result<(), String> {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) -> Result<(), String> {
        add(&mut *tx, "Laura").await;
        Err("the test's message".to_owned())
    }
    if is_child() {
        return subject();
    }
    run_test(this_test!())
        .assert_failed()
        .assert_contains("Error: \"the test's message\"\n")
        .assert_lacks("ebbtide: at the end");
    subject().unwrap_err();
    nothing_is_left();
    Ok(())
}

#[test]
fn an_ebbtide_error_that_a_test_returns_is_printed_as_a_report() -> ebbtide::Result<()> {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) -> ebbtide::Result<()> {
        sqlx::query("select * from nowhere")
            .execute(&mut *tx)
            .await?;
        Ok(())
    }
    if is_child() {
        return subject();
    }
    run_test(this_test!())
        .assert_failed()
        .assert_contains("Error: relation \"nowhere\" does not exist\n")
        .assert_contains("SQLSTATE 42P01");
    Ok(())
}

#[test]
fn a_test_that_ends_its_transaction_is_reported() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        add(&mut *tx, "Laura").await;
        sqlx::raw_sql("rollback").execute(&mut *tx).await.unwrap();
        add(&mut *tx, "Marta").await;
    }
    let Some(output) = run_in_child(this_test!(), || fails_and_leaves_nothing(subject)) else {
        return;
    };
    output
        .assert_passed()
        .assert_contains(
            "test outcomes::subject ended the transaction that ebbtide had opened for it\n",
        )
        .assert_contains("\n  help: ");
}
