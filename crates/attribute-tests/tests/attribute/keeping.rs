//! `keep`: the database stays after the test, so that a person can examine it.

use std::str::FromStr as _;

use ebbtide::{Database, Sandbox, Tx};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::child_process::{
    ChildOutput, is_child, run_in_child, run_in_child_with, run_test, this_test,
};
use crate::support::{add, customers};

/// Asserts the contents of the kept databases that a child process reports, and drops them.
fn assert_kept(output: &ChildOutput, test: &str, names: &[&[&str]]) {
    let beginning = format!("ebbtide: the database of {test} is kept for 30s: psql '");
    let stderr = output.stderr();
    let urls: Vec<&str> = stderr
        .lines()
        .filter_map(|line| line.strip_prefix(&beginning)?.strip_suffix('\''))
        .collect();
    assert_eq!(urls.len(), names.len(), "{output}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for (url, names) in urls.into_iter().zip(names) {
        runtime.block_on(async {
            let options = PgConnectOptions::from_str(url).unwrap();
            let mut connection = PgConnection::connect_with(&options).await.unwrap();
            assert_eq!(customers(&mut connection).await, *names, "{url}");
            connection.close().await.unwrap();
            let kept = options.get_database().unwrap();
            let mut admin = PgConnection::connect_with(&options.clone().database("postgres"))
                .await
                .unwrap();
            let drop = AssertSqlSafe(format!("drop database \"{kept}\""));
            sqlx::raw_sql(drop).execute(&mut admin).await.unwrap();
            admin.close().await.unwrap();
        });
    }
}

#[test]
fn keep_always_keeps_the_database_of_a_test_that_passes() {
    #[ebbtide::test(keep = "always")]
    async fn subject(pool: PgPool) {
        add(&pool, "Laura").await;
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    assert_kept(output.assert_passed(), "keeping::subject", &[&["Laura"]]);
}

#[test]
fn everything_that_the_test_used_is_kept_in_the_order_of_return() {
    #[ebbtide::test(keep = "always", fixtures("laura"))]
    async fn subject(mut tx: Tx, sandbox: Sandbox, database: Database) {
        add(&mut *tx, "Marta").await;
        add(&*sandbox, "Nuria").await;
        add(&database.pool(), "Olga").await;
        drop(tx);
        drop(sandbox);
        drop(database);
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    assert_kept(
        output.assert_passed(),
        "keeping::subject",
        &[&["Laura", "Marta"], &["Laura", "Nuria"], &["Laura", "Olga"]],
    );
}

#[test]
fn a_transaction_is_kept_when_the_test_panics() {
    #[ebbtide::test(keep = "failed")]
    async fn subject(mut tx: Tx) {
        add(&mut *tx, "Laura").await;
        panic!("on purpose");
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    assert_kept(
        output.assert_failed().assert_contains("on purpose"),
        "keeping::subject",
        &[&["Laura"]],
    );
}

#[test]
fn a_pool_is_kept_when_the_test_returns_an_error() -> Result<(), String> {
    #[ebbtide::test(keep = "failed")]
    async fn subject(pool: PgPool) -> Result<(), String> {
        add(&pool, "Laura").await;
        Err("on purpose".to_owned())
    }
    if is_child() {
        return subject();
    }
    assert_kept(
        run_test(this_test!()).assert_failed(),
        "keeping::subject",
        &[&["Laura"]],
    );
    Ok(())
}

#[test]
fn a_sandbox_is_kept_when_a_test_without_a_runtime_panics() {
    #[ebbtide::test(keep = "failed", fixtures("laura"))]
    fn subject(_sandbox: Sandbox) {
        panic!("on purpose");
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    assert_kept(
        output.assert_failed().assert_contains("on purpose"),
        "keeping::subject",
        &[&["Laura"]],
    );
}

#[test]
fn nothing_is_kept_of_a_test_that_passes() {
    #[ebbtide::test(keep = "failed")]
    async fn subject(pool: PgPool) {
        add(&pool, "Laura").await;
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    assert_kept(
        output.assert_passed().assert_lacks("is kept"),
        "keeping::subject",
        &[],
    );
}

#[test]
fn nothing_is_kept_without_the_option() {
    #[ebbtide::test]
    async fn subject(pool: PgPool) {
        add(&pool, "Laura").await;
        panic!("on purpose");
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    assert_kept(
        output.assert_failed().assert_lacks("is kept"),
        "keeping::subject",
        &[],
    );
}

#[test]
fn the_environment_variable_overrides_the_option() {
    #[ebbtide::test(keep = "always")]
    async fn subject(pool: PgPool) {
        add(&pool, "Laura").await;
    }
    let Some(output) = run_in_child_with(&[("EBBTIDE_KEEP", "never")], this_test!(), subject)
    else {
        return;
    };
    assert_kept(
        output.assert_passed().assert_lacks("is kept"),
        "keeping::subject",
        &[],
    );
}

#[test]
fn the_environment_variable_keeps_the_databases_of_a_failed_test() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx, pool: PgPool) {
        add(&mut *tx, "Laura").await;
        add(&pool, "Marta").await;
        panic!("on purpose");
    }
    let Some(output) = run_in_child_with(&[("EBBTIDE_KEEP", "failed")], this_test!(), subject)
    else {
        return;
    };
    assert_kept(
        output.assert_failed().assert_contains("on purpose"),
        "keeping::subject",
        &[&["Laura"], &["Marta"]],
    );
}

#[test]
fn the_environment_variable_keeps_the_database_of_a_test_that_passes() {
    #[ebbtide::test]
    async fn subject(sandbox: Sandbox) {
        add(&*sandbox, "Laura").await;
    }
    let Some(output) = run_in_child_with(&[("EBBTIDE_KEEP", "always")], this_test!(), subject)
    else {
        return;
    };
    assert_kept(output.assert_passed(), "keeping::subject", &[&["Laura"]]);
}

#[test]
fn a_transaction_with_a_failed_statement_is_reported_as_impossible_to_keep() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        add(&mut *tx, "Laura").await;
        sqlx::query("select 1 / 0").execute(&mut *tx).await.unwrap();
    }
    let Some(output) = run_in_child_with(&[("EBBTIDE_KEEP", "failed")], this_test!(), subject)
    else {
        return;
    };
    output
        .assert_failed()
        .assert_contains("division by zero")
        .assert_contains("the test's database cannot be kept: a statement has failed")
        .assert_contains("let it take an `ebbtide::Sandbox`")
        .assert_lacks("is kept for");
}
