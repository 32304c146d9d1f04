//! Migrations go up and down.

use std::path::Path;

use ebbtide::{Database, ErrorKind, Harness, Schema};
use ebbtide_example_techstore::{down, up};
use tempfile::TempDir;

use super::{HEAD, Outcome};

/// A directory with the shop's migrations, and more.
fn with_more(files: &[(&str, &str)]) -> std::io::Result<TempDir> {
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

/// What knows this directory and nothing of the shop's.
fn harness(dir: &TempDir) -> ebbtide::Result<Harness> {
    let builder = Harness::builder().config_file(dir.path().join("ebbtide.toml"));
    builder
        .migrations(dir.path().join("migrations"))
        .without_seeds()
        .build()
}

#[tokio::test]
async fn up_down_up_leaves_the_same_catalog_for_every_reversible_migration() -> Outcome {
    let report = ebbtide::harness()?.check_reversible().await?;
    assert!(report.is_clean(), "{report}");
    let looked_at: Vec<(&str, bool)> = report
        .steps
        .iter()
        .map(|step| (&*step.version, step.reversible))
        .collect();
    let versions = [
        "20250501080000",
        "20250502091500",
        "20250505100000",
        "20250507073000",
    ];
    assert_eq!(looked_at, versions.map(|version| (version, true)));
    Ok(())
}

#[tokio::test]
async fn a_broken_down_is_reported_with_the_objects_it_left() -> Outcome {
    let dir = with_more(&[
        (
            "20250510090000_reviews.up.sql",
            "create type stars as enum ('one', 'two', 'three');
             create table reviews (id bigint primary key, product_id bigint references products, stars stars);
             alter table products add column reviewed boolean not null default false;",
        ),
        // The type and the column are forgotten, and the view is another migration's.
        ("20250510090000_reviews.down.sql", "drop table reviews; drop view for_sale;"),
    ])?;
    let report = harness(&dir)?.check_reversible().await?;
    assert!(!report.is_clean());
    let said = report.to_string();
    let wanted = "5 of 5 migrations have a way down, 1 of them broken
migration 20250510090000 (reviews): down does not lead back to what was there before up
  missing (1):
    view for_sale
  extra (2):
    enum stars
    column products.reviewed
";
    assert!(said.starts_with(wanted), "{said}");
    assert!(
        said.contains("up is refused the second time: ")
            && said.contains("type \"stars\" already exists"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn two_migrations_with_the_same_version_are_an_error_that_names_both_files() -> Outcome {
    let dir = with_more(&[
        (
            "20250502091500_discounts.up.sql",
            "create table discounts (id bigint primary key);",
        ),
        ("20250502091500_discounts.down.sql", "drop table discounts;"),
    ])?;
    let error = harness(&dir)?.provision().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MigrationSource);
    let said = error.to_string();
    assert!(
        said.contains("two migrations have the version 20250502091500"),
        "{said}"
    );
    for file in ["20250502091500_products", "20250502091500_discounts"] {
        assert!(said.contains(file), "{said}");
    }
    Ok(())
}

#[ebbtide::test]
async fn the_shop_goes_down_and_up_with_its_own_commands(database: Database) -> Outcome {
    let pool = database.pool();
    let head = Schema::read(&mut *pool.acquire().await?).await?;
    let state = down(&pool, 20_250_502_091_500).await?;
    assert!(
        state
            .to_string()
            .starts_with("current 20250502091500, expected 20250507073000: not run yet: "),
        "{state}"
    );
    assert_eq!(up(&pool).await?.to_string(), HEAD);
    let again = Schema::read(&mut *pool.acquire().await?).await?;
    assert_eq!(head.compare(&again).to_string(), "no difference");
    Ok(())
}
