//! `Harness::health`: the state of its server and schema.

use crate::support::child_process::{assert_passed, child_role, native_test_command};
use crate::support::reports::first_claim;
use crate::support::{Scratch, this_test};
use ebbtide::Setup;
use ebbtide::config::Native;
use ebbtide::report::{HealthReport, LedgerHealth};

/// The latest version in each ledger, and the expected one.
fn latest(health: &HealthReport) -> Vec<(Option<&str>, Option<&str>)> {
    let ledgers = health.ledgers.iter();
    ledgers
        .map(|ledger| (current(ledger), ledger.expected_latest.as_deref()))
        .collect()
}

fn current(ledger: &LedgerHealth) -> Option<&str> {
    ledger.claim.as_ref()?.latest.as_deref()
}

#[tokio::test]
async fn a_ready_schema_is_healthy_and_can_be_serialised() {
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_users.sql",
        "create table users (id int primary key);",
    );
    scratch.write("migrations/7_names.sql", "alter table users add name text;");
    let harness = scratch.builder().extension("pg_trgm").build().unwrap();
    let health = harness.health().await;
    assert!(health.is_clean(), "{health}");
    let server = harness.start().await.unwrap();
    assert_eq!(health.server.as_ref(), Some(&server));
    assert_eq!(health.extensions.keys().collect::<Vec<_>>(), ["pg_trgm"]);
    assert_eq!(latest(&health), [(Some("7"), Some("7"))]);
    let json = serde_json::to_value(&health).unwrap();
    assert_eq!(json["ledgers"][0]["claim"]["latest"], "7");
    assert_eq!(json["ledgers"][0]["expected_latest"], "7");
    assert_eq!(json["server"]["backend"], server.backend.to_string());
    assert_eq!(json["problem"], serde_json::Value::Null);
    let text = health.to_string();
    assert!(
        text.starts_with(&format!(
            "healthy\nPostgreSQL {} ({})\n",
            server.server_version, server.backend
        )),
        "{text}"
    );
    let ledger = "\n_sqlx_migrations: current 7, expected 7";
    assert!(text.ends_with(ledger), "{text}");
    // Fixtures are loaded after the seeds, and do not change the ledger.
    let fixture = Setup::new().fixture("laura.sql", "insert into users values (1, 'Laura')");
    assert_eq!(harness.with_setup(fixture).health().await, health);
}

#[tokio::test]
async fn a_migration_that_fails_is_reported_beside_the_server_and_the_ledger() {
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_orders.sql",
        "create table orders (customer int references customers);",
    );
    let harness = scratch.builder().build().unwrap();
    let health = harness.health().await;
    assert!(!health.is_clean());
    assert!(health.server.is_some());
    assert_eq!(latest(&health), [(None, Some("1"))]);
    let problem = health.problem.as_deref().unwrap();
    assert!(
        problem.contains("1_orders.sql:1") && problem.contains("\"customers\" does not exist"),
        "{problem}"
    );
    let text = health.to_string();
    assert!(
        text.starts_with("unhealthy\n")
            && text.contains("\nproblem: migration 1 (orders) failed at "),
        "{text}"
    );
}

#[tokio::test]
async fn a_seed_that_empties_the_ledger_is_reported_with_both_versions() {
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_users.sql",
        "create table users (id int primary key);",
    );
    scratch.write("seeds/1_ledger.sql", "delete from _sqlx_migrations;");
    let health = scratch.builder().build().unwrap().health().await;
    assert!(!health.is_clean());
    assert_eq!(first_claim(&health).applied, Some(0));
    let problem = health.problem.unwrap();
    assert!(
        problem.starts_with("the latest version in _sqlx_migrations is none, expected 1; "),
        "{problem}"
    );
}

#[tokio::test]
async fn the_expected_version_is_the_latest_of_every_layout_with_versions() {
    let layouts: [(&[&str], &str); 2] = [
        (&["V2__users.sql", "V10__pets.sql"], "10"),
        (
            &["2025-01-01-000000_users/up.sql", "20250102_pets/up.sql"],
            "20250102",
        ),
    ];
    for ([first, last], expected) in
        layouts.map(|(files, expected)| ([files[0], files[1]], expected))
    {
        let scratch = Scratch::new();
        scratch.write(
            &format!("migrations/{first}"),
            "create table users (id int);",
        );
        scratch.write(&format!("migrations/{last}"), "create table pets (id int);");
        let health = scratch.builder().build().unwrap().health().await;
        assert!(health.is_clean(), "{health}");
        assert_eq!(latest(&health), [(Some(expected), Some(expected))]);
    }
}

#[tokio::test]
async fn each_source_has_its_own_ledger_and_a_further_one_is_listed() {
    let scratch = Scratch::new();
    let copy = "create table users (id int); \
                create table old_migrations (like _sqlx_migrations including all); \
                insert into old_migrations values (3, 'old', now(), true, '', 0);";
    scratch.write("first/1_users.sql", copy);
    scratch.write("second/V2__pets.sql", "create table pets (id int);");
    scratch.write("third/hens.sql", "create table hens (id int);");
    let builder = |seed: &str| {
        scratch.write("seeds/1_ledger.sql", seed);
        let sources = ["first", "second", "third"].map(|dir| scratch.path(dir));
        scratch.builder().migrations(sources.to_vec())
    };
    let health = builder("").build().unwrap().health().await;
    assert!(health.is_clean(), "{health}");
    let (one, two, old) = (Some("1"), Some("2"), Some("3"));
    assert_eq!(latest(&health), [(one, one), (two, two), (old, None)]);
    assert_eq!(first_claim(&health).table, "_sqlx_migrations");
    // The first source's ledger is compared, too.
    let seed = "update _sqlx_migrations set version = 5;";
    let health = builder(seed).build().unwrap().health().await;
    let problem = health.problem.as_deref().unwrap();
    assert!(
        problem.starts_with("the latest version in _sqlx_migrations is 5, expected 1; "),
        "{problem}"
    );
    assert_eq!(latest(&health)[1], (two, two));
}

#[tokio::test]
async fn without_migrations_no_version_is_expected() {
    let scratch = Scratch::new();
    let health = scratch.builder().build().unwrap().health().await;
    assert!(health.is_clean(), "{health}");
    assert_eq!(health.ledgers, []);
}

#[tokio::test]
async fn missing_server_binaries_are_reported_as_the_problem() {
    if child_role().is_none() {
        assert_passed(&native_test_command(this_test!()).output().unwrap());
        return;
    }
    let scratch = Scratch::new();
    let builder = scratch
        .own_server()
        .backend(Native::new().bin(scratch.path("nowhere")));
    let health = builder.build().unwrap().health().await;
    assert!(!health.is_clean());
    assert_eq!(health.server, None);
    let problem = health.problem.unwrap();
    assert!(
        problem.contains("no PostgreSQL server binaries found; install them"),
        "{problem}"
    );
}
