//! diesel's migrations, from their directory and embedded.

use std::error::Error;

use diesel::{Connection as _, PgConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
use ebbtide::config::Migrations;
use ebbtide::{Harness, Setup};

type Failure = Box<dyn Error + Send + Sync>;

const EMBEDDED: EmbeddedMigrations = embed_migrations!("diesel");
/// Versions with and without dashes, and a last migration that moves diesel's ledger.
const MOVED: EmbeddedMigrations = embed_migrations!("diesel-moved");

fn harness_with(migrations: impl Into<Migrations>) -> ebbtide::Result<Harness> {
    Ok(Harness::shared()?.with_setup(Setup::new().migrations(migrations)))
}

/// Runs diesel, which blocks. Returns how many migrations it applied, and how many are applied in
/// total.
async fn run_diesel(migrations: EmbeddedMigrations, url: &str) -> Result<(usize, usize), Failure> {
    let url = url.to_owned();
    let run = move || {
        let mut connection = PgConnection::establish(&url)?;
        let newly_applied = connection.run_pending_migrations(migrations)?.len();
        Ok((newly_applied, connection.applied_migrations()?.len()))
    };
    tokio::task::spawn_blocking(run).await?
}

#[tokio::test]
async fn diesel_has_no_pending_migration_after_ebbtide_applied_its_directory() -> Result<(), Failure>
{
    let database = harness_with(Migrations::diesel("diesel"))?
        .database()
        .await?;
    assert_eq!(run_diesel(EMBEDDED, database.url()).await?, (0, 3));
    Ok(database.close().await?)
}

#[tokio::test]
async fn a_recognised_directory_results_in_the_same_database_as_diesel() -> Result<(), Failure> {
    let empty = Harness::shared()?
        .with_setup(Setup::new().without_migrations())
        .database()
        .await?;
    assert_eq!(
        run_diesel(EMBEDDED, empty.url()).await?,
        (3, 3),
        "diesel applies all migrations to an empty database"
    );
    let report = harness_with("diesel")?.diff(empty.url()).await?;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.expected.ledger, report.found.ledger, "{report}");
    Ok(empty.close().await?)
}

#[tokio::test]
async fn embedded_migrations_are_applied_by_a_function() -> Result<(), Failure> {
    let run = |url: String| async move { run_diesel(EMBEDDED, &url).await.map(drop) };
    let database = harness_with(Migrations::function("diesel with 3 migrations", run))?
        .database()
        .await?;
    assert_eq!(run_diesel(EMBEDDED, database.url()).await?, (0, 3));
    Ok(database.close().await?)
}

#[tokio::test]
async fn diesel_has_no_pending_migration_where_a_migration_has_moved_its_ledger()
-> Result<(), Failure> {
    let harness = harness_with(Migrations::diesel("diesel-moved"))?;
    let empty = Harness::shared()?
        .with_setup(Setup::new().without_migrations())
        .database()
        .await?;
    assert_eq!(run_diesel(MOVED, empty.url()).await?, (3, 3));
    let report = harness.diff(empty.url()).await?;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.expected.ledger, report.found.ledger, "{report}");
    let table = report.found.ledger.map(|ledger| ledger.table);
    assert_eq!(table.as_deref(), Some("shelf.__diesel_schema_migrations"));
    let database = harness.database().await?;
    assert_eq!(run_diesel(MOVED, database.url()).await?, (0, 3));
    database.close().await?;
    Ok(empty.close().await?)
}

#[tokio::test]
async fn diesel_applies_what_remains_after_a_version_and_nothing_after_ebbtide_did()
-> Result<(), Failure> {
    let setup = Setup::new().migrations(Migrations::diesel("diesel"));
    let harness = Harness::shared()?.with_setup(setup.migrations_up_to("2026-01-05-090000"));
    let by_diesel = harness.database().await?;
    assert_eq!(run_diesel(EMBEDDED, by_diesel.url()).await?, (2, 3));
    let by_ebbtide = harness.database().await?;
    let change = by_ebbtide.migrate().await?;
    assert_eq!(change.to_string(), "applied 20260106090000, 20260107090000");
    assert_eq!(run_diesel(EMBEDDED, by_ebbtide.url()).await?, (0, 3));
    for database in [&by_diesel, &by_ebbtide] {
        let report = harness_with("diesel")?.diff(database.url()).await?;
        assert!(report.is_clean(), "{report}");
    }
    by_diesel.close().await?;
    Ok(by_ebbtide.close().await?)
}
