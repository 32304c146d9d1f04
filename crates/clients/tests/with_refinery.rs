//! refinery's migrations, from its directory and from its embedded runner.

use std::error::Error;

use ebbtide::{Database, Harness, Migrations, Setup};
use tokio_postgres::{Client, NoTls};

mod embedded {
    refinery::embed_migrations!("refinery");
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn from(migrations: Migrations) -> ebbtide::Result<Harness> {
    Ok(ebbtide::harness()?.with_setup(Setup::new().migrations(migrations)))
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Runs refinery itself. How many it applied, and how many are applied then.
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
async fn refinery_finds_nothing_to_do_after_its_directory() -> Outcome {
    let database = from(Migrations::refinery("refinery"))?.database().await?;
    assert_eq!(run_refinery(database.url()).await?, (0, 3));
    Ok(database.close().await?)
}

#[tokio::test]
async fn the_directory_is_recognised_and_makes_what_refinery_makes() -> Outcome {
    let empty: Database = from(Migrations::None)?.database().await?;
    assert_eq!(
        run_refinery(empty.url()).await?,
        (3, 3),
        "refinery has something to do where nothing was done"
    );
    let report = from("refinery".into())?.diff(empty.url()).await?;
    assert!(report.diff.is_empty(), "{report}");
    assert_eq!(report.expected_ledger, report.found_ledger, "{report}");
    Ok(empty.close().await?)
}

#[tokio::test]
async fn an_embedded_runner_is_a_function() -> Outcome {
    let run = |url: String| async move { run_refinery(&url).await.map(drop) };
    let harness = from(Migrations::function("refinery with 3 migrations", run))?;
    let database = harness.database().await?;
    assert_eq!(run_refinery(database.url()).await?, (0, 3));
    Ok(database.close().await?)
}
