//! refinery's migrations, from their directory and from the embedded runner.

use std::error::Error;

use ebbtide::{Database, Harness, Setup};

use ebbtide::config::Migrations;
use tokio_postgres::{Client, NoTls};

mod embedded {
    refinery::embed_migrations!("refinery");
}

/// The last migration moves refinery's ledger.
mod moved {
    refinery::embed_migrations!("refinery-moved");
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn harness_with(migrations: impl Into<Migrations>) -> ebbtide::Result<Harness> {
    Ok(Harness::shared()?.with_setup(Setup::new().migrations(migrations)))
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Runs refinery. Returns how many migrations it applied, and how many are applied in total.
async fn run_refinery(
    runner: fn() -> refinery::Runner,
    url: &str,
) -> Result<(usize, usize), Box<dyn Error + Send + Sync>> {
    let mut client = connect(url).await?;
    let report = runner().run_async(&mut client).await?;
    let applied = runner().get_applied_migrations_async(&mut client).await?;
    Ok((report.applied_migrations().len(), applied.len()))
}

#[tokio::test]
async fn refinery_has_no_pending_migration_after_ebbtide_applied_its_directory() -> Outcome {
    let database = harness_with(Migrations::refinery("refinery"))?
        .database()
        .await?;
    assert_eq!(
        run_refinery(embedded::migrations::runner, database.url()).await?,
        (0, 3)
    );
    Ok(database.close().await?)
}

#[tokio::test]
async fn a_recognised_directory_results_in_the_same_database_as_refinery() -> Outcome {
    let empty: Database = Harness::shared()?
        .with_setup(Setup::new().without_migrations())
        .database()
        .await?;
    assert_eq!(
        run_refinery(embedded::migrations::runner, empty.url()).await?,
        (3, 3),
        "refinery applies all migrations to an empty database"
    );
    let report = harness_with("refinery")?.diff(empty.url()).await?;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.expected.ledger, report.found.ledger, "{report}");
    Ok(empty.close().await?)
}

#[tokio::test]
async fn an_embedded_runner_is_called_by_a_function() -> Outcome {
    let run = |url: String| async move {
        run_refinery(embedded::migrations::runner, &url)
            .await
            .map(drop)
    };
    let harness = harness_with(Migrations::function("refinery with 3 migrations", run))?;
    let database = harness.database().await?;
    assert_eq!(
        run_refinery(embedded::migrations::runner, database.url()).await?,
        (0, 3)
    );
    Ok(database.close().await?)
}

#[tokio::test]
async fn refinery_has_no_pending_migration_where_a_migration_has_moved_its_ledger() -> Outcome {
    let harness = harness_with(Migrations::refinery("refinery-moved"))?;
    let empty = Harness::shared()?
        .with_setup(Setup::new().without_migrations())
        .database()
        .await?;
    let runner = moved::migrations::runner;
    assert_eq!(run_refinery(runner, empty.url()).await?, (3, 3));
    let report = harness.diff(empty.url()).await?;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.expected.ledger, report.found.ledger, "{report}");
    let table = report.found.ledger.map(|ledger| ledger.table);
    assert_eq!(table.as_deref(), Some("shelf.refinery_schema_history"));
    let database = harness.database().await?;
    assert_eq!(run_refinery(runner, database.url()).await?, (0, 3));
    database.close().await?;
    Ok(empty.close().await?)
}
