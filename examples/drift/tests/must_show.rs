//! A ledger that claims head although tables are missing, and the comparison that reports it.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::process::{Command, Output};

use ebbtide::{Database, ErrorKind, Harness, Tx};

use ebbtide::schema::ObjectKind;
use ebbtide_example_drift::{Drift, ReplayError, harness, replay, revision};
use sqlx::AssertSqlSafe;

const DRIFTED: &str = include_str!("../drifted.sql");

const MISSING: [&str; 16] = [
    "acceptance_test_results",
    "acceptance_tests",
    "atom_dependencies",
    "atom_retry_history",
    "atomic_units",
    "conversations",
    "dependency_graphs",
    "execution_waves",
    "human_review_queue",
    "masterplan_history",
    "masterplan_versions",
    "messages",
    "user_quotas",
    "user_usage",
    "users",
    "validation_results",
];

/// A statement for each kind of difference, with the complete expected report.
const DIFFERENCES: [(&str, &[&str]); 24] = [
    ("drop table user_usage", &["missing table user_usage"]),
    (
        "create table leftovers (id int)",
        &["extra table leftovers"],
    ),
    (
        "alter table code_files set unlogged",
        &["different table code_files"],
    ),
    (
        "alter table users drop column is_active",
        &["missing column users.is_active"],
    ),
    (
        "alter table users add column nickname text",
        &["extra column users.nickname"],
    ),
    (
        "alter table users alter column is_active drop default",
        &["different column users.is_active"],
    ),
    (
        "alter table atom_retry_history alter column attempt type integer",
        &["different column atom_retry_history.attempt"],
    ),
    (
        "create type span as (low int, high int)",
        &["extra composite type span"],
    ),
    ("create domain email as text", &["extra domain email"]),
    (
        "drop index idx_users_email",
        &["missing index idx_users_email"],
    ),
    (
        "create index idx_users_role on users (role)",
        &["extra index idx_users_role"],
    ),
    (
        "drop index idx_users_email; create unique index idx_users_email on users (email)",
        &["different index idx_users_email"],
    ),
    (
        "alter table users drop constraint users_email_check",
        &["missing constraint users_email_check on users"],
    ),
    (
        "alter table users add constraint never check (false)",
        &["extra constraint never on users"],
    ),
    (
        "alter type user_role add value 'owner'",
        &["different enum user_role"],
    ),
    ("create type mood as enum ('calm')", &["extra enum mood"]),
    (
        "drop extension pg_trgm cascade",
        &[
            "missing extension pg_trgm",
            "missing index idx_code_files_path_trgm",
        ],
    ),
    (
        "drop function is_over_quota(uuid, date)",
        &["missing function is_over_quota(wanted uuid, in_month date)"],
    ),
    (
        "create function one() returns int language sql as 'select 1'",
        &["extra function one()"],
    ),
    (
        "create or replace function is_over_quota(wanted uuid, in_month date) returns boolean language sql stable \
         as 'select false'",
        &["different function is_over_quota(wanted uuid, in_month date)"],
    ),
    (
        "drop trigger users_touch on users",
        &["missing trigger users_touch on users"],
    ),
    (
        "alter table users disable trigger users_touch",
        &["different trigger users_touch on users"],
    ),
    ("create sequence spare", &["extra sequence spare"]),
    (
        "alter sequence pipeline_run_number increment 10",
        &["different sequence pipeline_run_number"],
    ),
];

async fn database_after(harness: &Harness, sql: &'static str) -> Database {
    let database = harness.database().await.unwrap();
    sqlx::raw_sql(sql).execute(&database.pool()).await.unwrap();
    database
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ebbtide-example-drift"))
}

/// The exit code, stdout and stderr.
fn result_of(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn missing_tables(drift: &Drift) -> Vec<String> {
    let missing = drift.report().diff.missing.iter();
    missing
        .filter(|object| object.kind == ObjectKind::Table)
        .map(|object| object.name.clone())
        .collect()
}

#[tokio::test]
async fn head_has_22_tables_and_its_revision_is_the_last_of_the_chain() {
    let built = harness().unwrap().provision().await.unwrap().provisioned;
    assert_eq!(built.rows.len(), 22, "{:?}", built.rows);
    assert_eq!(
        revision(built.migrations.last().unwrap().version.as_ref().unwrap()),
        "66518741fa75"
    );
    for table in MISSING {
        assert!(built.rows.contains_key(table), "{table}");
    }
}

#[tokio::test]
async fn the_program_prints_the_sixteen_missing_tables_and_that_the_ledger_claims_head() {
    let database = database_after(&harness().unwrap(), DRIFTED).await;
    let (code, stdout, stderr) = result_of(&program().arg(database.url()).output().unwrap());
    insta::assert_snapshot!(stdout, @r"
    the ledger claims head (66518741fa75), but the schema differs
    ledger expected: _sqlx_migrations claims 8 applied, the latest 112500347632245
    ledger found:    _sqlx_migrations claims 8 applied, the latest 112500347632245
    the ledgers agree, the schemas do not
    missing (16):
      table acceptance_test_results
      table acceptance_tests
      table atom_dependencies
      table atom_retry_history
      table atomic_units
      table conversations
      table dependency_graphs
      table execution_waves
      table human_review_queue
      table masterplan_history
      table masterplan_versions
      table messages
      table user_quotas
      table user_usage
      table users
      table validation_results
    ");
    assert_eq!((code, stderr.as_str()), (Some(1), ""));
    database.close().await.unwrap();
}

#[tokio::test]
async fn the_drifted_copy_lacks_exactly_the_sixteen_tables_and_its_ledger_claims_head() {
    let harness = harness().unwrap();
    let database = database_after(&harness, DRIFTED).await;
    let drift = Drift::of(&harness, database.url()).await.unwrap();
    assert_eq!(drift.claimed_head().as_deref(), Some("66518741fa75"));
    assert_eq!(missing_tables(&drift), MISSING);
    let diff = &drift.report().diff;
    assert_eq!(
        (diff.missing.len(), diff.extra.len(), diff.different.len()),
        (16, 0, 0),
        "{diff}"
    );
    database.close().await.unwrap();
}

#[tokio::test]
async fn the_program_prints_the_same_differences_as_json() {
    let database = database_after(&harness().unwrap(), DRIFTED).await;
    let (code, stdout, stderr) =
        result_of(&program().args(["--json", database.url()]).output().unwrap());
    assert_eq!((code, stderr.as_str()), (Some(1), ""));
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json["ledger"]["claimed_head"], "66518741fa75");
    let missing = json["missing"].as_array().unwrap();
    let names: Vec<&str> = missing
        .iter()
        .map(|object| object["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, MISSING);
    assert!(
        json["extra"].as_array().unwrap().is_empty()
            && json["different"].as_array().unwrap().is_empty()
    );
    database.close().await.unwrap();
}

#[test]
fn without_a_url_the_program_compares_its_own_drifted_copy() {
    let (code, stdout, stderr) = result_of(&program().output().unwrap());
    assert_eq!((code, stderr.as_str()), (Some(1), ""));
    assert!(
        stdout.starts_with("the ledger claims head (66518741fa75), but the schema differs\n"),
        "{stdout}"
    );
    assert!(stdout.contains("\nmissing (16):\n"), "{stdout}");
}

#[tokio::test]
async fn an_unchanged_copy_has_no_difference() {
    let database = harness().unwrap().database().await.unwrap();
    let (code, stdout, stderr) = result_of(&program().arg(database.url()).output().unwrap());
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(
        stdout.starts_with("the ledger claims head (66518741fa75), and the schema agrees\n"),
        "{stdout}"
    );
    assert!(stdout.ends_with("\nno difference\n"), "{stdout}");
    database.close().await.unwrap();
}

#[ebbtide::test]
async fn a_read_only_session_is_enough(tx: Tx) {
    // Sessions of this URL are read-only.
    let (code, stdout, stderr) = result_of(&program().arg(tx.url()).output().unwrap());
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
}

#[tokio::test]
async fn every_kind_of_difference_is_reported() {
    let harness = harness().unwrap();
    let mut wrong = Vec::new();
    for (sql, expected) in DIFFERENCES {
        let database = database_after(&harness, sql).await;
        let drift = Drift::of(&harness, database.url()).await.unwrap();
        database.close().await.unwrap();
        let diff = &drift.report().diff;
        let missing = diff
            .missing
            .iter()
            .map(|object| format!("missing {object}"));
        let extra = diff.extra.iter().map(|object| format!("extra {object}"));
        let different = diff
            .different
            .iter()
            .map(|difference| format!("different {}", difference.object));
        let found: Vec<String> = missing.chain(extra).chain(different).collect();
        // The text that the program prints also names every object.
        let text = drift.to_string();
        let is_printed = expected
            .iter()
            .all(|line| text.contains(&format!("\n  {}", line.split_once(' ').unwrap().1)));
        if found != expected || !is_printed {
            wrong.push(format!(
                "{sql}\n  expected {expected:?}\n  found    {found:?}\n{text}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_failed_comparison_exits_with_2() {
    for (arguments, expected) in [
        (
            ["postgres://me:s3cret@127.0.0.1:1/app?sslmode=disable"].as_slice(),
            "no server answers at 127.0.0.1:1",
        ),
        (&["postgres://me:s3cret@[::1/app"], "cannot be parsed"),
        (&["--fast"], "usage: "),
        (&["--replay", "postgres://127.0.0.1/app"], "usage: "),
    ] {
        let (code, stdout, stderr) = result_of(&program().args(arguments).output().unwrap());
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(
            stderr.contains(expected) && !stderr.contains("s3cret"),
            "{stderr}"
        );
    }
}

#[test]
fn a_server_on_another_machine_is_rejected_without_connecting() {
    // 192.0.2.0/24 is reserved for documentation (RFC 5737), so no server answers at this address.
    let elsewhere = "postgres://app:s3cret@192.0.2.1:5432/devmatrix";
    let mut program = program();
    program
        .env("EBBTIDE_BACKEND", "external")
        .env("EBBTIDE_URL", elsewhere);
    for name in ["EBBTIDE_ALLOW_REMOTE", "EBBTIDE_POSTGRES"] {
        program.env_remove(name);
    }
    let (code, stdout, stderr) = result_of(&program.output().unwrap());
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    assert!(
        stderr.contains("the server at 192.0.2.1 is not on this machine"),
        "{stderr}"
    );
    assert!(
        stderr.contains("allow_remote = true") && !stderr.contains("s3cret"),
        "{stderr}"
    );
}

#[tokio::test]
async fn a_replay_after_dropping_the_schema_removes_all_differences() {
    let harness = harness().unwrap();
    let database = database_after(&harness, DRIFTED).await;
    let mut connection = database.pool().acquire().await.unwrap();
    replay(&mut connection, Path::new("migrations"))
        .await
        .unwrap();
    drop(connection);
    let drift = Drift::of(&harness, database.url()).await.unwrap();
    assert!(drift.is_none(), "{drift}");
    database.close().await.unwrap();

    let (code, stdout, stderr) = result_of(&program().arg("--replay").output().unwrap());
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
}

/// The chain without the migration that creates `users`.
fn without_users() -> tempfile::TempDir {
    let dir = tempfile::TempDir::new().unwrap();
    for entry in std::fs::read_dir("migrations").unwrap() {
        let path = entry.unwrap().path();
        if !path.to_string_lossy().ends_with("_users.sql") {
            std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    dir
}

#[tokio::test]
async fn a_replay_without_users_names_the_first_failing_migration_and_the_missing_relation() {
    let database = harness().unwrap().database().await.unwrap();
    let mut connection = database.pool().acquire().await.unwrap();
    let error = replay(&mut connection, without_users().path())
        .await
        .expect_err("users is missing");
    drop(connection);
    assert_eq!(
        error.to_string(),
        "migration 5ff1d84c7a02 (conversations) needs the relation users, which no earlier migration creates"
    );
    assert!(
        matches!(&error, ReplayError::Needs { relation, .. } if relation == "users"),
        "{error:?}"
    );
    database.close().await.unwrap();
}

#[tokio::test]
async fn provisioning_without_users_names_the_same_migration_and_relation() {
    let dir = without_users();
    let harness = Harness::builder()
        .extension("pg_trgm")
        .migrations(dir.path())
        .build()
        .unwrap();
    let error = harness.provision().await.expect_err("users is missing");
    assert_eq!(error.kind(), ErrorKind::Migration, "{error:?}");
    let message = error.to_string();
    assert!(
        message.starts_with("migration 105492320647682 (conversations) failed at "),
        "{message}"
    );
    assert!(
        message.ends_with("relation \"users\" does not exist"),
        "{message}"
    );
    assert_eq!(
        error.help(),
        Some("no migration creates users: check for a missing file or a misspelt name")
    );
}

#[tokio::test]
async fn no_remaining_table_has_a_foreign_key_to_a_missing_one() {
    // Otherwise the drifted copy would also lack constraints.
    let database = harness().unwrap().database().await.unwrap();
    let query = format!(
        "select conname::text from pg_constraint where contype = 'f' and confrelid::regclass::text in ('{0}') \
         and conrelid::regclass::text not in ('{0}')",
        MISSING.join("', '")
    );
    let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_all(&database.pool())
        .await
        .unwrap();
    assert!(found.is_empty(), "{found:?}");
    database.close().await.unwrap();
}
