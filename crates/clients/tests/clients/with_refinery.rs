//! refinery's migrations, from their directory and from the embedded runner.

use std::error::Error;

use ebbtide::{Database, Harness, Setup};

use ebbtide::config::Migrations;
use tokio_postgres::{Client, NoTls};

mod embedded {
    refinery::embed_migrations!("refinery");
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
async fn run_refinery(url: &str) -> Result<(usize, usize), Box<dyn Error + Send + Sync>> {
    let mut client = connect(url).await?;
    let report = embedded::migrations::runner()
        .run_async(&mut client)
        .await?;
    let applied = embedded::migrations::runner()
        .get_applied_migrations_async(&mut client)
        .await?;
    Ok((report.applied_migrations().len(), applied.len()))
}

#[tokio::test]
async fn refinery_has_no_pending_migration_after_ebbtide_applied_its_directory() -> Outcome {
    let database = harness_with(Migrations::refinery("refinery"))?
        .database()
        .await?;
    assert_eq!(run_refinery(database.url()).await?, (0, 3));
    Ok(database.close().await?)
}

#[tokio::test]
async fn a_recognised_directory_results_in_the_same_database_as_refinery() -> Outcome {
    let empty: Database = Harness::shared()?
        .with_setup(Setup::new().without_migrations())
        .database()
        .await?;
    assert_eq!(
        run_refinery(empty.url()).await?,
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
    let run = |url: String| async move { run_refinery(&url).await.map(drop) };
    let harness = harness_with(Migrations::function("refinery with 3 migrations", run))?;
    let database = harness.database().await?;
    assert_eq!(run_refinery(database.url()).await?, (0, 3));
    Ok(database.close().await?)
}
