//! Directories of other tools, and plain SQL. Tests in `crates/clients` compare with the tools
//! themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use ebbtide::ErrorKind;

use ebbtide::config::Migrations;

use crate::support::Scratch;
use crate::support::reports::{assert_report_contains, provision_error, provision_report};

const USERS: &str = "create table users (id int primary key, name text not null);\n";

#[tokio::test]
async fn plain_files_run_in_the_order_of_their_names_with_or_without_a_transaction() {
    let scratch = Scratch::new();
    scratch.write(
        "migrations/b.sql",
        "create index users_name on users (name);\ninsert into users values (1, 'Laura');\n",
    );
    scratch.write("migrations/a.sql", USERS);
    scratch.write(
        "migrations/c.sql",
        "-- no-transaction\ncreate index concurrently users_id on users (id, name);\n",
    );
    scratch.write("migrations/README.md", "no SQL\n");
    let report = provision_report(scratch.builder()).await;
    let versions: Vec<&str> = report
        .migrations
        .iter()
        .map(|migration| migration.version.as_deref().unwrap())
        .collect();
    assert_eq!(versions, ["a.sql", "b.sql", "c.sql"]);
    assert_eq!(report.rows, BTreeMap::from([("users".to_owned(), 1)]));
}

#[tokio::test]
async fn a_chosen_layout_ignores_the_files_of_other_tools() {
    let scratch = Scratch::new();
    scratch.write("db/V1__users.sql", USERS);
    scratch.write("db/1_pets.sql", "create table pets (id int);\n");
    let toml = scratch.write(
        "ebbtide.toml",
        "[provision]\nmigrations = { refinery = 'db' }\n",
    );
    let builder = ebbtide::Harness::builder()
        .config_file(toml)
        .without_seeds();
    let report = provision_report(builder).await;
    assert_eq!(report.rows.keys().collect::<Vec<_>>(), ["users"]);
    let plain_sql = scratch
        .builder()
        .migrations(Migrations::sql(scratch.path("db")));
    let report = provision_report(plain_sql).await;
    assert_eq!(report.rows.keys().collect::<Vec<_>>(), ["pets", "users"]);
}

#[tokio::test]
async fn a_refused_statement_is_reported_with_its_place_in_every_layout() {
    let bad = "select 1;\n\nselect 2 / 0;\n";
    for (file, label) in [
        ("V2__bad.sql", "migration 2 (bad)"),
        (
            "2026-01-01-000000_bad/up.sql",
            "migration 20260101000000 (bad)",
        ),
        ("bad.sql", "migration bad.sql"),
    ] {
        let scratch = Scratch::new();
        let place = scratch.write(&format!("migrations/{file}"), bad);
        let error = provision_error(scratch.builder()).await;
        let text = format!(
            "{label} failed at {}:3:1: division by zero",
            place.display()
        );
        assert_report_contains(&error, ErrorKind::Migration, &[&text]);
    }
}

#[tokio::test]
async fn two_migrations_with_one_version_are_both_reported_in_every_layout() {
    for (one, other, version) in [
        ("V7__users.sql", "U7__visits.sql", "7"),
        (
            "20260101000000_users/up.sql",
            "2026-01-01-000000_visits/up.sql",
            "20260101000000",
        ),
    ] {
        let scratch = Scratch::new();
        scratch.write(&format!("migrations/{one}"), USERS);
        scratch.write(
            &format!("migrations/{other}"),
            "create table visits (id int);\n",
        );
        let text = format!(" both have {version}");
        assert_report_contains(
            &provision_error(scratch.builder()).await,
            ErrorKind::MigrationSource,
            &[&text, one, other],
        );
    }
}

#[tokio::test]
async fn a_migration_in_rust_is_reported_with_migrations_function() {
    let scratch = Scratch::new();
    scratch.write(
        "migrations/V1__users.rs",
        "pub fn migration() -> String { String::new() }\n",
    );
    let error = provision_error(scratch.builder()).await;
    assert_report_contains(
        &error,
        ErrorKind::MigrationSource,
        &["V1__users.rs is written in Rust", "Migrations::function"],
    );
}

#[tokio::test]
async fn a_ledger_that_a_migration_forged_is_detected() {
    let scratch = Scratch::new();
    scratch.write("migrations/V1__users.sql", USERS);
    scratch.write(
        "migrations/V2__forged.sql",
        "update refinery_schema_history set checksum = '1';\n",
    );
    let error = provision_error(scratch.builder()).await;
    assert_report_contains(
        &error,
        ErrorKind::LedgerMismatch,
        &[
            "refinery_schema_history differs from the migration files",
            "1 has a different checksum",
        ],
    );
}

#[tokio::test]
async fn a_function_is_identified_by_its_name_and_its_failures_are_reported() {
    let scratch = Scratch::new();
    let migrate = |url: String| async move {
        let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await?;
        sqlx::query(USERS).execute(&mut connection).await.map(drop)
    };
    let name = format!("users {}", uuid::Uuid::new_v4());
    let provision = async || {
        let builder = scratch
            .builder()
            .migrations(Migrations::function(name.as_str(), migrate));
        builder.build().unwrap().provision().await.unwrap()
    };
    let (first, second) = (provision().await, provision().await);
    assert_eq!(first.provisioned.rows.keys().collect::<Vec<_>>(), ["users"]);
    assert!(!first.reused && second.reused, "{second:?}");

    let failing = Migrations::function("failing", async |_| Err::<(), _>("there is no such thing"));
    let error = provision_error(scratch.builder().migrations(failing)).await;
    let texts = [
        "the migration function \"failing\" failed",
        "caused by: there is no such thing",
    ];
    assert_report_contains(&error, ErrorKind::Migration, &texts);
    let panicking = Migrations::function("panicking", async |_| -> Result<(), String> {
        panic!("on purpose")
    });
    let error = provision_error(scratch.builder().migrations(panicking)).await;
    assert_report_contains(
        &error,
        ErrorKind::Migration,
        &["\"panicking\" panicked", "on purpose"],
    );
    let hanging = Migrations::function("hanging", async |url: String| {
        let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await?;
        sqlx::query("select pg_sleep(60)")
            .execute(&mut connection)
            .await
            .map(drop)
    });
    let error = provision_error(
        scratch
            .builder()
            .migrations(hanging)
            .provision_timeout(Duration::from_secs(1)),
    )
    .await;
    assert_report_contains(
        &error,
        ErrorKind::Timeout,
        &[
            "\"hanging\" did not finish within 1s",
            "select pg_sleep(60)",
        ],
    );
}

/// An application can allow only its own runner to record migrations.
#[tokio::test]
async fn a_ledger_with_a_trigger_of_the_migrations_needs_the_applications_runner() {
    let guard = "create function refuse() returns trigger language plpgsql as $$
         begin raise exception 'use the runner of the application'; end $$;
         set search_path = public;
         create trigger guard before insert on";
    for (file, ledger) in [
        ("1_guard.sql", "_sqlx_migrations"),
        ("1_guard/up.sql", "__diesel_schema_migrations"),
        ("V1__guard.sql", "refinery_schema_history"),
    ] {
        let scratch = Scratch::new();
        let sql = format!("{guard} {ledger} for each row execute function refuse();");
        scratch.write(&format!("migrations/{file}"), &sql);
        let error = provision_error(scratch.builder()).await;
        let texts = [
            ledger,
            "use the runner of the application",
            "let the application's own runner apply the migrations",
        ];
        assert_report_contains(&error, ErrorKind::Migration, &texts);
        assert!(
            !format!("{error:?}").contains("reset search_path"),
            "{error:?}"
        );
    }
}
