//! What a person reads of a test that fails.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ebbtide::{Database, Sandbox, Tx};
use sqlx::postgres::PgPool;

use crate::again::{child, here, is_child, played};
use crate::support::{add, nothing_is_left, order_for_nobody};

/// Runs a test that fails and then another, which passes: what came of the first is to be read on stderr.
fn then_nothing_is_left(test: impl FnOnce()) {
    catch_unwind(AssertUnwindSafe(test)).expect_err("the test fails");
    nothing_is_left();
}

#[test]
fn a_fixture_with_an_error_is_shown_with_its_place() {
    #[ebbtide::test(fixtures("broken"))]
    async fn subject(_: Tx) {
        panic!("it has begun");
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    said.failed()
        .tells("the test has not begun: ")
        .tells("fixtures/broken.sql:3:30")
        .tells("column \"age\" of relation \"customers\" does not exist")
        .tells("insert into customers (name, age) values ('Marta', 40);\n")
        .tells("                             ^")
        .tells("SQLSTATE 42703")
        .tells("\n  help: ")
        .hides("it has begun");
}

#[test]
fn a_deferred_constraint_fails_a_test_that_passed() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        order_for_nobody(&mut *tx).await;
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    said.failed()
        .tells("the deferred constraint orders_customer_fkey does not hold at the end of test outcomes::subject\n")
        .tells("\n  caused by: insert or update on table \"orders\" violates foreign key constraint \"orders_customer_fkey\"\n")
        .tells("is not present in table \"customers\".")
        .tells("\n  help: ");
}

#[test]
fn a_deferred_constraint_beside_a_panic_is_told_and_the_panic_stays() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        order_for_nobody(&mut *tx).await;
        panic!("my own words");
    }
    let Some(said) = played(here!(), || then_nothing_is_left(subject)) else {
        return;
    };
    said.passed().tells("my own words").tells(
        "ebbtide: at the end of the test: the deferred constraint orders_customer_fkey does not hold at the end of test \
         outcomes::subject",
    );
}

#[test]
fn a_panic_keeps_its_own_words_and_leaves_nothing() {
    #[ebbtide::test(fixtures("laura"))]
    async fn subject(mut tx: Tx, sandbox: Sandbox, database: Database, pool: PgPool) {
        let mut inner = tx.begin().await.unwrap();
        add(&mut *inner, "Marta").await;
        let mut transaction = sandbox.begin().await.unwrap();
        add(&mut *transaction, "Marta").await;
        add(&database.pool(), "Marta").await;
        let mut committed = pool.begin().await.unwrap();
        add(&mut *committed, "Marta").await;
        panic!("my own words");
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    said.failed()
        .tells("outcomes.rs:")
        .tells(":\nmy own words\n")
        .hides("ebbtide: at the end");
    for _ in 0..2 {
        then_nothing_is_left(subject);
    }
}

#[test]
fn a_panic_without_a_runtime_keeps_its_own_words() {
    #[ebbtide::test]
    fn subject(_tx: Tx, _database: Database) {
        panic!("my own words");
    }
    let Some(said) = played(here!(), || then_nothing_is_left(subject)) else {
        return;
    };
    said.passed()
        .tells(":\nmy own words\n")
        .hides("ebbtide: at the end");
}

#[test]
fn an_error_is_shown_as_any_tests() -> Result<(), String> {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) -> Result<(), String> {
        add(&mut *tx, "Laura").await;
        Err("my own words".to_owned())
    }
    if is_child() {
        return subject();
    }
    child(here!())
        .failed()
        .tells("Error: \"my own words\"\n")
        .hides("ebbtide: at the end");
    subject().unwrap_err();
    nothing_is_left();
    Ok(())
}

#[test]
fn an_error_of_ours_is_shown_as_a_report() -> ebbtide::Result<()> {
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
    child(here!())
        .failed()
        .tells("Error: relation \"nowhere\" does not exist\n")
        .tells("SQLSTATE 42P01");
    Ok(())
}

#[test]
fn a_transaction_that_the_test_ends_is_told() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        add(&mut *tx, "Laura").await;
        sqlx::raw_sql("rollback").execute(&mut *tx).await.unwrap();
        add(&mut *tx, "Marta").await;
    }
    let Some(said) = played(here!(), || then_nothing_is_left(subject)) else {
        return;
    };
    said.passed()
        .tells("test outcomes::subject ended the transaction that ebbtide had opened for it\n")
        .tells("\n  help: ");
}
