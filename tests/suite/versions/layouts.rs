//! The same story in every layout: rows of an old version go through the later migrations.

use ebbtide::{Database, ErrorKind, Harness, Setup};
use sqlx::AssertSqlSafe;

use super::project::{LAYOUTS, ToolLayout};
use crate::support::reports::assert_report_contains;
use crate::support::{Scratch, pool_sql};

async fn texts(database: &Database, query: &str) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
        .fetch_all(&database.pool())
        .await
        .unwrap()
}

async fn tables(database: &Database) -> Vec<String> {
    let query = "select relname::text from pg_class where relkind = 'r' \
                 and relnamespace = 'public'::regnamespace \
                 and relname in ('people', 'notes') order by relname";
    texts(database, query).await
}

/// Asserts that the ledger has exactly the first `count` versions.
async fn assert_ledger(database: &Database, layout: &ToolLayout, count: usize) {
    if let Some(query) = layout.ledger {
        let found = texts(database, query).await;
        assert_eq!(found, layout.versions[..count], "{}", layout.name);
    }
}

async fn at(harness: &Harness, version: &str) -> Database {
    let setup = Setup::new().migrations_up_to(version);
    harness.with_setup(setup).database().await.unwrap()
}

#[tokio::test]
async fn old_rows_go_through_the_later_migrations_in_every_layout() {
    for layout in LAYOUTS {
        let (scratch, name) = (Scratch::new(), layout.name);
        let harness = layout.builder(&scratch).build().unwrap();
        let database = at(&harness, layout.versions[0]).await;
        assert_eq!(tables(&database).await, ["people"], "{name}");
        assert_ledger(&database, &layout, 1).await;
        let insert = "insert into people values (1, 'Ada Lovelace')";
        pool_sql::run(&database.pool(), insert).await;

        let change = database.migrate_to(layout.versions[1]).await.unwrap();
        let expected = format!("applied {}", layout.versions[1]);
        assert_eq!(change.to_string(), expected, "{name}");
        assert_eq!(
            texts(&database, "select last_name from people").await,
            ["Lovelace"]
        );
        assert_eq!(tables(&database).await, ["people"], "{name}");
        assert_ledger(&database, &layout, 2).await;

        let change = database.migrate().await.unwrap();
        let expected = format!("applied {}", layout.versions[2]);
        assert_eq!(change.to_string(), expected, "{name}");
        assert_eq!(tables(&database).await, ["notes", "people"], "{name}");
        assert_ledger(&database, &layout, 3).await;
        let change = database.migrate().await.unwrap();
        assert_eq!(change.to_string(), "nothing ran", "{name}");
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_database_migrated_in_two_parts_equals_one_migrated_at_once() {
    for layout in LAYOUTS {
        let scratch = Scratch::new();
        let harness = layout.builder(&scratch).build().unwrap();
        let database = at(&harness, layout.versions[0]).await;
        database.migrate().await.unwrap();
        let report = harness.diff(database.url()).await.unwrap();
        assert!(report.is_clean(), "{}: {report}", layout.name);
        assert_eq!(report.expected.ledger, report.found.ledger, "{report}");
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn later_migrations_are_reverted_where_the_tool_has_a_way_down() {
    for layout in LAYOUTS {
        let (scratch, name) = (Scratch::new(), layout.name);
        let harness = layout.builder(&scratch).build().unwrap();
        let database = harness.database().await.unwrap();
        let insert = "insert into people values (1, 'Ada Lovelace', 'Byron')";
        pool_sql::run(&database.pool(), insert).await;
        let reverted = database.migrate_to(layout.versions[0]).await;
        if !layout.is_reversible {
            let error = reverted.unwrap_err();
            assert_report_contains(
                &error,
                ErrorKind::MigrationSource,
                &[
                    "must be reverted, but",
                    "have no way down",
                    "migrations_up_to",
                ],
            );
            assert_eq!(tables(&database).await, ["notes", "people"], "{name}");
            database.close().await.unwrap();
            continue;
        }
        let expected = format!("reverted {}, {}", layout.versions[2], layout.versions[1]);
        assert_eq!(reverted.unwrap().to_string(), expected);
        assert_eq!(tables(&database).await, ["people"], "{name}");
        assert_ledger(&database, &layout, 1).await;
        let change = database.migrate().await.unwrap();
        let expected = format!("applied {}, {}", layout.versions[1], layout.versions[2]);
        assert_eq!(change.to_string(), expected, "{name}");
        assert_eq!(
            texts(&database, "select last_name from people").await,
            ["Lovelace"]
        );
        assert_ledger(&database, &layout, 3).await;
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn every_spelling_of_a_version_leads_to_one_template() {
    for layout in LAYOUTS {
        let scratch = Scratch::new();
        let harness = layout.builder(&scratch).build().unwrap();
        let mut fingerprints = Vec::new();
        for spelling in layout.spellings {
            let setup = Setup::new().migrations_up_to(*spelling);
            let report = harness.with_setup(setup).provision().await.unwrap();
            let versions = report.provisioned.migrations.iter();
            let versions: Vec<_> = versions.map(|it| it.version.as_deref()).collect();
            assert_eq!(versions, [Some(layout.versions[0])], "{}", layout.name);
            fingerprints.push(report.fingerprint);
        }
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), 1, "{}", layout.name);
        let all = harness.provision().await.unwrap();
        assert_ne!(all.fingerprint, fingerprints[0], "{}", layout.name);
    }
}

/// refinery computes other checksums for all migrations when one version needs eight bytes.
#[tokio::test]
async fn refinerys_ledger_is_that_of_all_its_versions() {
    let scratch = Scratch::new();
    scratch.write("migrations/V1__people.sql", "create table people (id int);");
    scratch.write(
        "migrations/V20260101000000__notes.sql",
        "create table notes (id int);",
    );
    let harness = scratch.builder().build().unwrap();
    let query = "select checksum from refinery_schema_history where version = 1";
    let database = at(&harness, "1").await;
    let part = texts(&database, query).await;
    database.migrate().await.unwrap();
    assert_ledger_equals(&harness, &database).await;
    let all = harness.database().await.unwrap();
    assert_eq!(texts(&all, query).await, part);
    all.close().await.unwrap();
    database.close().await.unwrap();
}

async fn assert_ledger_equals(harness: &Harness, database: &Database) {
    let report = harness.diff(database.url()).await.unwrap();
    assert!(report.is_clean(), "{report}");
}

/// The next test on the lane finds the old version again.
#[tokio::test]
async fn a_lane_is_equal_to_its_template_after_it_was_migrated() {
    let scratch = Scratch::new();
    let layout = LAYOUTS[0];
    let harness = layout.builder(&scratch).build().unwrap();
    for _ in 0..3 {
        let database = at(&harness, "9").await;
        assert_eq!(tables(&database).await, ["people"]);
        assert_ledger(&database, &layout, 1).await;
        assert!(texts(&database, "select name from people").await.is_empty());
        pool_sql::run(
            &database.pool(),
            "insert into people values (1, 'Ada Lovelace')",
        )
        .await;
        let change = database.migrate().await.unwrap();
        assert_eq!(change.to_string(), "applied 10, 41");
        database.close().await.unwrap();
    }
}
