//! Migrations up and down.

use std::path::Path;

use ebbtide::{Database, ErrorKind, Harness};

use ebbtide::schema::Schema;
use ebbtide_example_techstore::{down, up};
use tempfile::TempDir;

use super::{HEAD, Outcome};

/// A directory with the shop's migrations and additional ones.
fn with_additional(files: &[(&str, &str)]) -> std::io::Result<TempDir> {
    let dir = tempfile::tempdir()?;
    let migrations = dir.path().join("migrations");
    std::fs::create_dir(&migrations)?;
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations"))? {
        let file = file?;
        std::fs::copy(file.path(), migrations.join(file.file_name()))?;
    }
    for (name, sql) in files {
        std::fs::write(migrations.join(name), sql)?;
    }
    std::fs::write(dir.path().join("ebbtide.toml"), "")?;
    Ok(dir)
}

/// A harness with the configuration of this directory instead of the shop's.
fn harness(dir: &TempDir) -> ebbtide::Result<Harness> {
    let builder = Harness::builder().config_file(dir.path().join("ebbtide.toml"));
    builder
        .migrations(dir.path().join("migrations"))
        .without_seeds()
        .build()
}

#[tokio::test]
async fn up_down_up_leaves_the_same_catalog_for_every_reversible_migration() -> Outcome {
    let report = ebbtide::Harness::shared()?.check_reversible().await?;
    assert!(report.is_clean(), "{report}");
    let checked: Vec<(&str, bool)> = report
        .migrations
        .iter()
        .map(|step| (&*step.version, step.reversible))
        .collect();
    let versions = [
        "20250501080000",
        "20250502091500",
        "20250505100000",
        "20250507073000",
    ];
    assert_eq!(checked, versions.map(|version| (version, true)));
    Ok(())
}

#[tokio::test]
async fn a_broken_down_migration_is_reported_with_the_objects_that_it_left() -> Outcome {
    let dir = with_additional(&[
        (
            "20250510090000_reviews.up.sql",
            "create type stars as enum ('one', 'two', 'three');
             create table reviews (id bigint primary key, product_id bigint references products, stars stars);
             alter table products add column reviewed boolean not null default false;",
        ),
        // It does not drop the type and the column, and it drops the view of another migration.
        ("20250510090000_reviews.down.sql", "drop table reviews; drop view for_sale;"),
    ])?;
    let report = harness(&dir)?.check_reversible().await?;
    assert!(!report.is_clean());
    let message = report.to_string();
    let expected = "5 of 5 migrations have a down migration, 1 of them broken
migration 20250510090000 (reviews): down does not restore the schema from before up
  missing (1):
    view for_sale
  extra (2):
    enum stars
    column products.reviewed
";
    assert!(message.starts_with(expected), "{message}");
    assert!(
        message.contains("the second up is refused: ")
            && message.contains("type \"stars\" already exists"),
        "{message}"
    );
    Ok(())
}

#[tokio::test]
async fn two_migrations_with_the_same_version_are_an_error_that_names_both_files() -> Outcome {
    let dir = with_additional(&[
        (
            "20250502091500_discounts.up.sql",
            "create table discounts (id bigint primary key);",
        ),
        ("20250502091500_discounts.down.sql", "drop table discounts;"),
    ])?;
    let error = harness(&dir)?.provision().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MigrationSource);
    let message = error.to_string();
    assert!(message.contains("both have 20250502091500"), "{message}");
    for file in ["20250502091500_products", "20250502091500_discounts"] {
        assert!(message.contains(file), "{message}");
    }
    Ok(())
}

#[ebbtide::test]
async fn the_shops_own_functions_revert_and_apply_its_migrations(database: Database) -> Outcome {
    let pool = database.pool();
    let head = Schema::read(&mut *pool.acquire().await?).await?;
    let state = down(&pool, 20_250_502_091_500).await?;
    assert!(
        state
            .to_string()
            .starts_with("current 20250502091500, expected 20250507073000: pending migrations: "),
        "{state}"
    );
    assert_eq!(up(&pool).await?.to_string(), HEAD);
    let head_again = Schema::read(&mut *pool.acquire().await?).await?;
    assert_eq!(head.compare(&head_again).to_string(), "no difference");
    Ok(())
}
