//! The start-up check: the ledger against the migrations that the program ships.

use std::process::Command;

use ebbtide::Database;
use ebbtide_example_shared::{OutOfDate, Patience, Problem, SchemaState};
use ebbtide_example_tickets::{Settings, StartError, open};

use super::{BEFORE_HEAD, HEAD, Outcome};

/// What the check says when the ledger was changed like this.
async fn refused_after(database: &Database, change: &'static str) -> (SchemaState, String) {
    sqlx::query(change).execute(&database.pool()).await.unwrap();
    match open(database.url(), Patience::default()).await.unwrap_err() {
        StartError::Schema(OutOfDate(state)) => {
            let said = state.to_string();
            (state, said)
        }
        other => panic!("{other}"),
    }
}

#[ebbtide::test]
async fn a_migrated_database_is_accepted(database: Database) -> Outcome {
    open(database.url(), Patience::default())
        .await?
        .close()
        .await;
    Ok(())
}

#[ebbtide::test]
async fn a_ledger_that_is_behind_says_current_and_expected(database: Database) {
    let forget = "delete from _sqlx_migrations where version = 20250410083000";
    let (state, said) = refused_after(&database, forget).await;
    assert_eq!(
        (state.current, state.expected),
        (Some(BEFORE_HEAD), Some(HEAD))
    );
    assert_eq!(
        said,
        "current 20250403100000, expected 20250410083000: not run yet: 20250410083000"
    );
}

#[ebbtide::test]
async fn a_ledger_that_is_ahead_says_current_and_expected(database: Database) {
    let add =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
               values (20260101000000, 'of a newer program', true, '', 0)";
    let (state, said) = refused_after(&database, add).await;
    assert_eq!(state.problem, Some(Problem::Unknown(20_260_101_000_000)));
    assert!(
        said.starts_with("current 20260101000000, expected 20250410083000: "),
        "{said}"
    );
}

#[ebbtide::test]
async fn a_migration_that_was_changed_afterwards_is_named(database: Database) {
    let change = "update _sqlx_migrations set checksum = '\\x00' where version = 20250403100000";
    let (state, said) = refused_after(&database, change).await;
    assert_eq!(state.problem, Some(Problem::Changed(BEFORE_HEAD)));
    assert!(
        said.contains("migration 20250403100000 was changed"),
        "{said}"
    );
}

#[ebbtide::test(migrations = false)]
fn the_program_does_not_serve_an_unmigrated_database(database: Database) {
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ebbtide-example-tickets"));
        // Should it serve after all, then not on a port that is somebody's.
        command
            .env("DATABASE_URL", database.url())
            .env("TICKETS_ADDRESS", "127.0.0.1:0");
        command
    };
    let served = program().arg("serve").output().unwrap();
    assert!(!served.status.success());
    let said = String::from_utf8(served.stderr).unwrap();
    assert!(
        said.contains("current none, expected 20250410083000"),
        "{said}"
    );
    let migrated = program().arg("migrate").output().unwrap();
    let said = String::from_utf8(migrated.stderr).unwrap();
    assert!(migrated.status.success(), "{said}");
    assert!(
        said.contains("migrated: current 20250410083000, expected 20250410083000"),
        "{said}"
    );
}

#[test]
fn a_setting_that_means_nothing_is_named() {
    let read = |set: &'static [(&str, &str)]| {
        Settings::read(|name| {
            set.iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    };
    assert_eq!(
        read(&[]).unwrap_err().to_string(),
        "DATABASE_URL is not set"
    );
    let error = read(&[
        ("DATABASE_URL", "postgres://"),
        ("TICKETS_ARGON2_PASSES", "many"),
    ])
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "TICKETS_ARGON2_PASSES=\"many\" is not a number"
    );
    let settings = read(&[
        ("DATABASE_URL", "postgres://"),
        ("TICKETS_ARGON2_PASSES", "1"),
    ])
    .unwrap();
    assert_eq!((settings.cost.passes, settings.address.port()), (1, 8080));
}
