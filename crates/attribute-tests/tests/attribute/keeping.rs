//! `keep`: the database stays for a person to look at.

use std::str::FromStr as _;

use ebbtide::{Database, Sandbox, Tx};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::again::{Said, child, here, is_child, played, played_with};
use crate::support::{add, customers};

/// Asserts what the kept databases hold that a child tells of, and drops them.
fn assert_kept(said: &Said, test: &str, names: &[&[&str]]) {
    let beginning = format!("ebbtide: the database of {test} is kept for 30s: psql '");
    let stderr = said.stderr();
    let urls: Vec<&str> = stderr
        .lines()
        .filter_map(|line| line.strip_prefix(&beginning)?.strip_suffix('\''))
        .collect();
    assert_eq!(urls.len(), names.len(), "{said}");
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
fn whatever_came_of_the_test() {
    #[ebbtide::test(keep)]
    async fn subject(pool: PgPool) {
        add(&pool, "Laura").await;
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    assert_kept(said.passed(), "keeping::subject", &[&["Laura"]]);
}

#[test]
fn everything_that_the_test_was_lent_is_kept_in_the_order_in_which_it_comes_back() {
    #[ebbtide::test(keep = "always", fixtures("laura"))]
    async fn subject(mut tx: Tx, sandbox: Sandbox, database: Database) {
        add(&mut *tx, "Marta").await;
        add(&*sandbox, "Nuria").await;
        add(&database.pool(), "Olga").await;
        drop(tx);
        drop(sandbox);
        drop(database);
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    assert_kept(
        said.passed(),
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
    let Some(said) = played(here!(), subject) else {
        return;
    };
    assert_kept(
        said.failed().tells("on purpose"),
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
    assert_kept(child(here!()).failed(), "keeping::subject", &[&["Laura"]]);
    Ok(())
}

#[test]
fn a_sandbox_is_kept_when_a_test_without_a_runtime_panics() {
    #[ebbtide::test(keep = "failed", fixtures("laura"))]
    fn subject(_sandbox: Sandbox) {
        panic!("on purpose");
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    assert_kept(
        said.failed().tells("on purpose"),
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
    let Some(said) = played(here!(), subject) else {
        return;
    };
    assert_kept(said.passed().hides("is kept"), "keeping::subject", &[]);
}

#[test]
fn nothing_is_kept_unless_it_is_asked_for() {
    #[ebbtide::test]
    async fn subject(pool: PgPool) {
        add(&pool, "Laura").await;
        panic!("on purpose");
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    assert_kept(said.failed().hides("is kept"), "keeping::subject", &[]);
}

#[test]
fn a_variable_beats_what_the_test_says() {
    #[ebbtide::test(keep)]
    async fn subject(pool: PgPool) {
        add(&pool, "Laura").await;
    }
    let Some(said) = played_with(&[("EBBTIDE_KEEP", "never")], here!(), subject) else {
        return;
    };
    assert_kept(said.passed().hides("is kept"), "keeping::subject", &[]);
}

#[test]
fn a_variable_keeps_what_failed() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx, pool: PgPool) {
        add(&mut *tx, "Laura").await;
        add(&pool, "Marta").await;
        panic!("on purpose");
    }
    let Some(said) = played_with(&[("EBBTIDE_KEEP", "failed")], here!(), subject) else {
        return;
    };
    assert_kept(
        said.failed().tells("on purpose"),
        "keeping::subject",
        &[&["Laura"], &["Marta"]],
    );
}

#[test]
fn a_variable_keeps_everything() {
    #[ebbtide::test]
    async fn subject(sandbox: Sandbox) {
        add(&*sandbox, "Laura").await;
    }
    let Some(said) = played_with(&[("EBBTIDE_KEEP", "always")], here!(), subject) else {
        return;
    };
    assert_kept(said.passed(), "keeping::subject", &[&["Laura"]]);
}

#[test]
fn a_transaction_in_which_a_statement_failed_cannot_be_kept_and_that_is_told() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        add(&mut *tx, "Laura").await;
        sqlx::query("select 1 / 0").execute(&mut *tx).await.unwrap();
    }
    let Some(said) = played_with(&[("EBBTIDE_KEEP", "failed")], here!(), subject) else {
        return;
    };
    said.failed()
        .tells("division by zero")
        .tells("the test's database cannot be kept: a statement has failed")
        .tells("let it take an `ebbtide::Sandbox`")
        .hides("is kept for");
}
