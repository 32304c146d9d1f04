//! diesel's migrations, from its directory and embedded.

use std::error::Error;

use diesel::{Connection as _, PgConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
use ebbtide::{Harness, Migrations, Setup};

type Failure = Box<dyn Error + Send + Sync>;

const EMBEDDED: EmbeddedMigrations = embed_migrations!("diesel");

fn from(migrations: Migrations) -> ebbtide::Result<Harness> {
    Ok(ebbtide::harness()?.with_setup(Setup::new().migrations(migrations)))
}

/// Runs diesel itself, which blocks. How many it applied, and how many are applied then.
async fn run_diesel(url: &str) -> Result<(usize, usize), Failure> {
    let url = url.to_owned();
    let run = move || {
        let mut connection = PgConnection::establish(&url)?;
        let ran = connection.run_pending_migrations(EMBEDDED)?.len();
        Ok((ran, connection.applied_migrations()?.len()))
    };
    tokio::task::spawn_blocking(run).await?
}

#[tokio::test]
async fn diesel_finds_nothing_pending_after_its_directory() -> Result<(), Failure> {
    let database = from(Migrations::diesel("diesel"))?.database().await?;
    assert_eq!(run_diesel(database.url()).await?, (0, 3));
    Ok(database.close().await?)
}

#[tokio::test]
async fn the_directory_is_recognised_and_makes_what_diesel_makes() -> Result<(), Failure> {
    let empty = from(Migrations::None)?.database().await?;
    assert_eq!(
        run_diesel(empty.url()).await?,
        (3, 3),
        "diesel has something to do where nothing was done"
    );
    let report = from("diesel".into())?.diff(empty.url()).await?;
    assert!(report.diff.is_empty(), "{report}");
    assert_eq!(report.expected_ledger, report.found_ledger, "{report}");
    Ok(empty.close().await?)
}

#[tokio::test]
async fn embedded_migrations_are_a_function() -> Result<(), Failure> {
    let run = |url: String| async move { run_diesel(&url).await.map(drop) };
    let database = from(Migrations::function("diesel with 3 migrations", run))?
        .database()
        .await?;
    assert_eq!(run_diesel(database.url()).await?, (0, 3));
    Ok(database.close().await?)
}
