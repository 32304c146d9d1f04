//! `EBBTIDE_LOG_PLANS_SLOWER_THAN`: the plans of slow statements, with the test's name.

use ebbtide::{Database, Sandbox, Tx};
use sqlx::PgExecutor;

use crate::again::{here, is_child, played_with};

const EXPLAIN: [(&str, &str); 1] = [("EBBTIDE_LOG_PLANS_SLOWER_THAN", "50ms")];

async fn sleep<'e>(database: impl PgExecutor<'e>, statement: &'static str) {
    sqlx::query(statement).execute(database).await.unwrap();
}

#[test]
fn slow_statements_of_every_kind_of_test_are_explained() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx, sandbox: Sandbox, database: Database) {
        sleep(
            &mut *tx,
            "select name, pg_sleep(0.03) from services /* of a Tx */",
        )
        .await;
        sleep(
            &*sandbox,
            "select name, pg_sleep(0.03) from services /* of a Sandbox */",
        )
        .await;
        sleep(
            &database.pool(),
            "select name, pg_sleep(0.03) from services /* of a Database */",
        )
        .await;
        sleep(&database.pool(), "select name from services /* quick */").await;
    }
    let Some(said) = played_with(&EXPLAIN, here!(), subject) else {
        return;
    };
    said.passed()
        .tells("ebbtide: slow statements of test slow::subject\n")
        .tells(" ms, more than 50ms:\n")
        .tells("    Query Text: select name, pg_sleep(0.03) from services /* of a Tx */\n    Seq Scan on services")
        .tells("/* of a Sandbox */")
        .tells("/* of a Database */")
        .tells("(actual time=")
        .hides("/* quick */");
}

#[test]
fn another_driver_reaches_them_by_the_url() {
    #[ebbtide::test]
    fn subject(database: Database) {
        let mut psql = std::process::Command::new("psql");
        let said = psql
            .args([database.url(), "-Xc", "select pg_sleep(0.06) /* of psql */"])
            .output()
            .unwrap();
        assert!(said.status.success(), "{said:?}");
    }
    let Some(said) = played_with(&EXPLAIN, here!(), subject) else {
        return;
    };
    said.passed()
        .tells("Query Text: select pg_sleep(0.06) /* of psql */\n");
}

#[test]
fn they_come_behind_what_is_told_of_a_failure() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        sleep(&mut *tx, "select pg_sleep(0.06)").await;
        sleep(&mut *tx, "select 1 / 0").await;
    }
    let Some(said) = played_with(&EXPLAIN, here!(), subject) else {
        return;
    };
    let stderr = said.failed().stderr();
    let (error, plan) = (
        stderr.find("22012 division by zero").unwrap(),
        stderr.find("Query Text:").unwrap(),
    );
    assert!(error < plan, "{said}");
}

#[test]
fn nothing_is_told_of_quick_statements_nor_without_being_asked() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        sleep(&mut *tx, "select 1").await;
    }
    if is_child() {
        return subject();
    }
    // A busy machine may need longer than 50 ms for anything.
    for variables in [&[("EBBTIDE_LOG_PLANS_SLOWER_THAN", "5s")][..], &[]] {
        let Some(said) = played_with(variables, here!(), || ()) else {
            return;
        };
        said.passed().hides("slow statements").hides("Query Text");
    }
}
