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

/// refinery enters hidden directories, and follows no link to a directory.
#[tokio::test]
async fn the_files_of_a_directory_are_those_that_refinery_finds() -> Outcome {
    let root = tempfile::tempdir()?;
    let write = |name: &str, table: &str| -> std::io::Result<()> {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(root.path()))?;
        std::fs::write(path, format!("create table {table} (id int);"))
    };
    write("db/V1__one.sql", "one")?;
    write("db/.hidden/V2__two.sql", "two")?;
    write("db/V+3__sign.sql", "sign")?;
    write("elsewhere/V4__four.sql", "four")?;
    std::os::unix::fs::symlink(root.path().join("elsewhere"), root.path().join("db/link"))?;
    let theirs = refinery::load_sql_migrations(root.path().join("db"))?;
    let theirs: Vec<String> = theirs.iter().map(|it| it.version().to_string()).collect();
    let harness = harness_with(Migrations::refinery(root.path().join("db")))?;
    let report = harness.provision().await?.provisioned;
    let ours: Vec<String> = report
        .migrations
        .into_iter()
        .filter_map(|it| it.version)
        .collect();
    assert_eq!(ours, theirs);
    assert_eq!(ours, ["1", "2"]);
    assert_eq!(report.not_applied, ["V+3__sign.sql", "link/"]);
    Ok(())
}

/// `Runner::set_migration_table_name` names the ledger in the application's code.
#[tokio::test]
async fn a_ledger_with_a_name_of_the_applications_is_recognised() -> Outcome {
    let run = |url: String| async move {
        let mut runner = embedded::migrations::runner();
        runner.set_migration_table_name("history");
        let mut client = connect(&url).await?;
        runner.run_async(&mut client).await?;
        Ok::<(), Box<dyn Error + Send + Sync>>(())
    };
    let harness = harness_with(Migrations::function("refinery with its own table", run))?;
    let report = harness.provision().await?.provisioned;
    assert_eq!(report.migrations[0].version.as_deref(), Some("3"));
    assert!(!report.rows.contains_key("history"), "{:?}", report.rows);
    let health = harness.health().await;
    let claim = health.ledgers[0].claim.as_ref().ok_or("no ledger")?;
    assert_eq!((&*claim.table, claim.applied), ("history", Some(3)));
    Ok(())
}

#[tokio::test]
async fn refinery_applies_what_remains_after_a_version_and_nothing_after_ebbtide_did() -> Outcome {
    let setup = Setup::new().migrations(Migrations::refinery("refinery"));
    let harness = Harness::shared()?.with_setup(setup.migrations_up_to(1));
    let by_refinery = harness.database().await?;
    assert_eq!(
        run_refinery(embedded::migrations::runner, by_refinery.url()).await?,
        (2, 3)
    );
    let by_ebbtide = harness.database().await?;
    assert_eq!(by_ebbtide.migrate_to(2).await?.to_string(), "applied 2");
    assert_eq!(by_ebbtide.migrate().await?.to_string(), "applied 3");
    assert_eq!(
        run_refinery(embedded::migrations::runner, by_ebbtide.url()).await?,
        (0, 3)
    );
    for database in [&by_refinery, &by_ebbtide] {
        let report = harness_with("refinery")?.diff(database.url()).await?;
        assert!(report.is_clean(), "{report}");
    }
    by_refinery.close().await?;
    Ok(by_ebbtide.close().await?)
}
