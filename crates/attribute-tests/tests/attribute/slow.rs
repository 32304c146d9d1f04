//! `EBBTIDE_LOG_PLANS_SLOWER_THAN`: the plans of slow statements are reported with the test's name.

use ebbtide::{Database, Sandbox, Tx};
use sqlx::PgExecutor;

use crate::child_process::{is_child, run_in_child_with, this_test};

const LOG_SLOW_PLANS: [(&str, &str); 1] = [("EBBTIDE_LOG_PLANS_SLOWER_THAN", "50ms")];

async fn execute<'e>(database: impl PgExecutor<'e>, statement: &'static str) {
    sqlx::query(statement).execute(database).await.unwrap();
}

#[test]
fn slow_statements_of_tx_sandbox_and_database_are_reported_with_their_plans() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx, sandbox: Sandbox, database: Database) {
        execute(
            &mut *tx,
            "select name, pg_sleep(0.03) from services /* of a Tx */",
        )
        .await;
        execute(
            &*sandbox,
            "select name, pg_sleep(0.03) from services /* of a Sandbox */",
        )
        .await;
        execute(
            &database.pool(),
            "select name, pg_sleep(0.03) from services /* of a Database */",
        )
        .await;
        execute(&database.pool(), "select name from services /* quick */").await;
    }
    let Some(output) = run_in_child_with(&LOG_SLOW_PLANS, this_test!(), subject) else {
        return;
    };
    output.assert_passed()
        .assert_contains("ebbtide: slow statements of test slow::subject\n")
        .assert_contains(" ms, more than 50ms:\n")
        .assert_contains("    Query Text: select name, pg_sleep(0.03) from services /* of a Tx */\n    Seq Scan on services")
        .assert_contains("/* of a Sandbox */")
        .assert_contains("/* of a Database */")
        .assert_contains("(actual time=")
        .assert_lacks("/* quick */");
}

#[test]
fn slow_statements_of_another_driver_are_reported() {
    #[ebbtide::test]
    fn subject(database: Database) {
        let mut psql = std::process::Command::new("psql");
        let output = psql
            .args([database.url(), "-Xc", "select pg_sleep(0.06) /* of psql */"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let Some(output) = run_in_child_with(&LOG_SLOW_PLANS, this_test!(), subject) else {
        return;
    };
    output
        .assert_passed()
        .assert_contains("Query Text: select pg_sleep(0.06) /* of psql */\n");
}

#[test]
fn plans_are_reported_after_the_error_of_a_failed_test() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        execute(&mut *tx, "select pg_sleep(0.06)").await;
        execute(&mut *tx, "select 1 / 0").await;
    }
    let Some(output) = run_in_child_with(&LOG_SLOW_PLANS, this_test!(), subject) else {
        return;
    };
    let stderr = output.assert_failed().stderr();
    let (error, plan) = (
        stderr.find("22012 division by zero").unwrap(),
        stderr.find("Query Text:").unwrap(),
    );
    assert!(error < plan, "{output}");
}

#[test]
fn quick_statements_are_not_reported_and_without_the_variable_none_are() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        execute(&mut *tx, "select 1").await;
    }
    if is_child() {
        return subject();
    }
    // 5 s, because under load any statement may take longer than 50 ms.
    for variables in [&[("EBBTIDE_LOG_PLANS_SLOWER_THAN", "5s")][..], &[]] {
        let Some(output) = run_in_child_with(variables, this_test!(), || ()) else {
            return;
        };
        output
            .assert_passed()
            .assert_lacks("slow statements")
            .assert_lacks("Query Text");
    }
}
