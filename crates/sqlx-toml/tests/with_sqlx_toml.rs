//! `sqlx::migrate!()` reads `sqlx.toml` when it is compiled. ebbtide reads the same file for the
//! directory, so the macro's migrator finds nothing to apply.

use std::error::Error;

use ebbtide::{Database, Harness, Setup};
use sqlx::migrate::Migrator;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

static MIGRATOR: Migrator = sqlx::migrate!();

/// Version, checksum and time of every row in the ledger that `sqlx.toml` names.
async fn rows(database: &Database) -> Result<Vec<(i64, Vec<u8>, i64)>, sqlx::Error> {
    let select =
        r#"select version, checksum, execution_time from "Shop"."Applied steps" order by 1"#;
    sqlx::query_as(select).fetch_all(&database.pool()).await
}

#[tokio::test]
async fn the_migrator_of_the_macro_finds_nothing_to_apply() -> Outcome {
    assert_eq!(&*MIGRATOR.table_name, r#""Shop"."Applied steps""#);
    let harness = Harness::shared()?;
    let database = harness.database().await?;
    let before = rows(&database).await?;
    assert_eq!(before.iter().map(|row| row.0).collect::<Vec<_>>(), [2, 10]);
    MIGRATOR.run(&database.pool()).await?;
    assert_eq!(rows(&database).await?, before);
    let health = harness.health().await;
    assert!(health.is_clean(), "{health}");
    Ok(database.close().await?)
}

#[tokio::test]
async fn the_directory_and_the_embedded_migrator_make_what_sqlx_makes() -> Outcome {
    let harness = Harness::shared()?;
    let empty = harness.with_setup(Setup::new().without_migrations());
    let empty = empty.database().await?;
    MIGRATOR.run(&empty.pool()).await?;
    let checksums = |rows: Vec<(i64, Vec<u8>, i64)>| -> Vec<_> {
        rows.into_iter().map(|row| (row.0, row.1)).collect()
    };
    let expected = checksums(rows(&empty).await?);
    for harness in [
        harness.clone(),
        harness.with_setup(Setup::new().migrator(&MIGRATOR)),
    ] {
        let report = harness.diff(empty.url()).await?;
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.expected.ledger, report.found.ledger);
        let database = harness.database().await?;
        assert_eq!(checksums(rows(&database).await?), expected);
        database.close().await?;
    }
    Ok(empty.close().await?)
}
