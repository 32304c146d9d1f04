//! The startup check, which compares the ledger with the migrations that the program ships.

use std::process::Command;

use ebbtide::Database;
use ebbtide_example_shared::{Problem, RetryPolicy, SchemaMismatch, SchemaState};
use ebbtide_example_tickets::{Settings, StartError, open};

use super::{BEFORE_HEAD, HEAD, Outcome};

/// Changes the ledger, and returns the state that the failed check reports, also as text.
async fn mismatch_after(database: &Database, change: &'static str) -> (SchemaState, String) {
    sqlx::query(change).execute(&database.pool()).await.unwrap();
    match open(database.url(), RetryPolicy::default())
        .await
        .unwrap_err()
    {
        StartError::Schema(SchemaMismatch(state)) => {
            let message = state.to_string();
            (state, message)
        }
        other => panic!("{other}"),
    }
}

#[ebbtide::test]
async fn a_migrated_database_is_accepted(database: Database) -> Outcome {
    open(database.url(), RetryPolicy::default())
        .await?
        .close()
        .await;
    Ok(())
}

#[ebbtide::test]
async fn the_error_for_a_ledger_that_is_behind_has_current_and_expected(database: Database) {
    let delete = "delete from _sqlx_migrations where version = 20250417090000";
    let (state, message) = mismatch_after(&database, delete).await;
    assert_eq!(
        (state.current, state.expected),
        (Some(BEFORE_HEAD), Some(HEAD))
    );
    assert_eq!(
        message,
        "current 20250410083000, expected 20250417090000: pending migrations: 20250417090000"
    );
}

#[ebbtide::test]
async fn the_error_for_a_ledger_that_is_ahead_has_current_and_expected(database: Database) {
    let add =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
               values (20260101000000, 'of a newer program', true, '', 0)";
    let (state, message) = mismatch_after(&database, add).await;
    assert_eq!(state.problem, Some(Problem::Unknown(20_260_101_000_000)));
    assert!(
        message.starts_with("current 20260101000000, expected 20250417090000: "),
        "{message}"
    );
}

#[ebbtide::test]
async fn a_migration_that_was_changed_afterwards_is_named(database: Database) {
    let change = "update _sqlx_migrations set checksum = '\\x00' where version = 20250410083000";
    let (state, message) = mismatch_after(&database, change).await;
    assert_eq!(state.problem, Some(Problem::Changed(BEFORE_HEAD)));
    assert!(
        message.contains("migration 20250410083000 was changed"),
        "{message}"
    );
}

// The application's role may not create tables.
#[ebbtide::test(migrations = false, role = "postgres")]
fn the_program_does_not_serve_an_unmigrated_database(database: Database) {
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ebbtide-example-tickets"));
        // Port 0, so that the program uses a free port if it serves despite the check.
        command
            .env("DATABASE_URL", database.url())
            .env("TICKETS_ADDRESS", "127.0.0.1:0");
        command
    };
    let served = program().arg("serve").output().unwrap();
    assert!(!served.status.success());
    let message = String::from_utf8(served.stderr).unwrap();
    assert!(
        message.contains("current none, expected 20250417090000"),
        "{message}"
    );
    let migrated = program().arg("migrate").output().unwrap();
    let message = String::from_utf8(migrated.stderr).unwrap();
    assert!(migrated.status.success(), "{message}");
    assert!(
        message.contains("migrated: current 20250417090000, expected 20250417090000"),
        "{message}"
    );
}

#[test]
fn missing_and_invalid_variables_are_named() {
    let read = |set: &'static [(&str, &str)]| {
        Settings::read(|name| {
            set.iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| (*value).to_owned())
        })
    };
    assert_eq!(
        read(&[]).unwrap_err().to_string(),
        "the environment variable DATABASE_URL must be set"
    );
    let error = read(&[
        ("DATABASE_URL", "postgres://"),
        ("TICKETS_ARGON2_PASSES", "many"),
    ])
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "TICKETS_ARGON2_PASSES must be a whole number, but is \"many\""
    );
    let settings = read(&[
        ("DATABASE_URL", "postgres://"),
        ("TICKETS_ARGON2_PASSES", "1"),
    ])
    .unwrap();
    assert_eq!((settings.cost.passes, settings.address.port()), (1, 8080));
}
