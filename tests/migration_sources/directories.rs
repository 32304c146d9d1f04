//! Other tools' directories, and plain SQL. That the tools agree is shown in `crates/clients`.

use std::time::Duration;

use ebbtide::{ErrorKind, Migrations};

use crate::reports::{assert_tells, refused};
use crate::support::Scratch;

const USERS: &str = "create table users (id int primary key, name text not null);\n";

#[tokio::test]
async fn plain_files_run_in_the_order_of_their_names_each_in_a_transaction_or_none() {
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
    let report = scratch
        .builder()
        .build()
        .unwrap()
        .provision()
        .await
        .unwrap()
        .provisioned;
    let versions: Vec<&str> = report
        .migrations
        .iter()
        .map(|migration| migration.version.as_str())
        .collect();
    assert_eq!(versions, ["a.sql", "b.sql", "c.sql"]);
    assert_eq!(
        (report.tables.as_slice(), report.rows["users"]),
        (["users".to_owned()].as_slice(), 1)
    );
}

#[tokio::test]
async fn a_named_layout_leaves_alone_what_does_not_belong_to_it() {
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
    let report = builder
        .build()
        .unwrap()
        .provision()
        .await
        .unwrap()
        .provisioned;
    assert_eq!(report.tables, ["users"]);
    let sqlx = scratch
        .builder()
        .migrations(Migrations::sql(scratch.path("db")));
    assert_eq!(
        sqlx.build()
            .unwrap()
            .provision()
            .await
            .unwrap()
            .provisioned
            .tables,
        ["pets", "users"]
    );
}

#[tokio::test]
async fn a_refused_statement_has_its_place_in_every_layout() {
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
        let error = refused(scratch.builder()).await;
        let told = format!(
            "{label} failed at {}:3:1: division by zero",
            place.display()
        );
        assert_tells(&error, ErrorKind::Migration, &[&told]);
    }
}

#[tokio::test]
async fn two_of_one_version_are_both_named_in_every_layout() {
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
        let told = format!("two migrations have the version {version}: ");
        assert_tells(
            &refused(scratch.builder()).await,
            ErrorKind::MigrationSource,
            &[&told, one, other],
        );
    }
}

#[tokio::test]
async fn a_migration_in_rust_leads_to_the_embedded_runner() {
    let scratch = Scratch::new();
    scratch.write(
        "migrations/V1__users.rs",
        "pub fn migration() -> String { String::new() }\n",
    );
    let error = refused(scratch.builder()).await;
    assert_tells(
        &error,
        ErrorKind::MigrationSource,
        &[
            "V1__users.rs is a migration in Rust",
            "Migrations::function",
        ],
    );
}

#[tokio::test]
async fn a_ledger_that_a_migration_forges_is_found_out() {
    let scratch = Scratch::new();
    scratch.write("migrations/V1__users.sql", USERS);
    scratch.write(
        "migrations/V2__forged.sql",
        "update refinery_schema_history set checksum = '1';\n",
    );
    let error = refused(scratch.builder()).await;
    assert_tells(
        &error,
        ErrorKind::LedgerMismatch,
        &[
            "refinery_schema_history does not agree",
            "1 has another checksum",
        ],
    );
}

#[tokio::test]
async fn a_function_is_known_by_its_name_and_its_failures_are_told() {
    let scratch = Scratch::new();
    let make = |url: String| async move {
        let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await?;
        sqlx::query(USERS).execute(&mut connection).await.map(drop)
    };
    let name = format!("users {}", uuid::Uuid::new_v4());
    let provision = async || {
        let builder = scratch
            .builder()
            .migrations(Migrations::function(name.as_str(), make));
        builder.build().unwrap().provision().await.unwrap()
    };
    let (first, second) = (provision().await, provision().await);
    assert_eq!(first.provisioned.tables, ["users"]);
    assert!(!first.reused && second.reused, "{second:?}");

    let failing = Migrations::function("failing", async |_| Err::<(), _>("there is no such thing"));
    let error = refused(scratch.builder().migrations(failing)).await;
    let words = [
        "the migrating function \"failing\" failed",
        "caused by: there is no such thing",
    ];
    assert_tells(&error, ErrorKind::Migration, &words);
    let panicking = Migrations::function("panicking", async |_| -> Result<(), String> {
        panic!("at the disco")
    });
    let error = refused(scratch.builder().migrations(panicking)).await;
    assert_tells(
        &error,
        ErrorKind::Migration,
        &["\"panicking\" panicked", "at the disco"],
    );
    let hanging = Migrations::function("hanging", async |url: String| {
        let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await?;
        sqlx::query("select pg_sleep(60)")
            .execute(&mut connection)
            .await
            .map(drop)
    });
    let error = refused(
        scratch
            .builder()
            .migrations(hanging)
            .provision_timeout(Duration::from_secs(1)),
    )
    .await;
    assert_tells(
        &error,
        ErrorKind::Timeout,
        &["\"hanging\" is not done after 1s", "select pg_sleep(60)"],
    );
}
