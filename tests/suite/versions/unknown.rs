//! Versions that do not exist, and plans without versions.

use ebbtide::config::{MigrationCommand, Migrations};
use ebbtide::{Error, ErrorKind, Harness, Setup};

use super::project::LAYOUTS;
use crate::support::Scratch;
use crate::support::reports::assert_report_contains;

async fn refused(harness: &Harness, version: &str) -> Error {
    let setup = Setup::new().migrations_up_to(version);
    harness.with_setup(setup).database().await.unwrap_err()
}

#[tokio::test]
async fn a_version_that_does_not_exist_is_refused_in_every_layout() {
    for layout in LAYOUTS {
        let scratch = Scratch::new();
        let harness = layout.builder(&scratch).build().unwrap();
        let error = refused(&harness, "42").await;
        let versions = format!("{} (3 in all)", layout.versions.join(", "));
        assert_report_contains(
            &error,
            ErrorKind::MigrationSource,
            &["none has version 42", &versions],
        );
    }
}

#[tokio::test]
async fn a_long_list_of_versions_is_shown_near_the_unknown_one() {
    let scratch = Scratch::new();
    for version in (10..=300).step_by(10) {
        let sql = format!("create table t{version} (id int);");
        scratch.write(&format!("migrations/{version}_t.sql"), &sql);
    }
    let harness = scratch.builder().build().unwrap();
    let error = refused(&harness, "155").await;
    let list = "10, .., 140, 150, 160, 170, .., 300 (30 in all)";
    assert_report_contains(&error, ErrorKind::MigrationSource, &[list]);
    let error = refused(&harness, "999").await;
    let list = "10, .., 290, 300 (30 in all)";
    assert_report_contains(&error, ErrorKind::MigrationSource, &[list]);
    let database = harness.database().await.unwrap();
    let error = database.migrate_to(155).await.unwrap_err();
    assert_report_contains(
        &error,
        ErrorKind::MigrationSource,
        &["none has version 155"],
    );
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_number_that_begins_several_files_is_refused() {
    let scratch = Scratch::new();
    scratch.write("migrations/01_a.sql", "create table a (id int);");
    scratch.write("migrations/1_b.sql", "create table b (id int);");
    let builder = scratch.builder();
    let builder = builder.migrations(Migrations::sql(scratch.path("migrations")));
    let harness = builder.build().unwrap();
    let error = refused(&harness, "1").await;
    assert_report_contains(
        &error,
        ErrorKind::MigrationSource,
        &[
            "can mean several",
            "version 01_a.sql",
            "version 1_b.sql",
            "the whole version",
        ],
    );
    let setup = Setup::new().migrations_up_to("01_a");
    let report = harness.with_setup(setup).provision().await.unwrap();
    assert_eq!(report.provisioned.migrations.len(), 1);
}

#[tokio::test]
async fn a_function_has_no_versions_and_runs_as_a_whole() {
    let scratch = Scratch::new();
    let run = |url: String| async move {
        let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await?;
        sqlx::raw_sql("create table people (id int)")
            .execute(&mut connection)
            .await
            .map(drop)
    };
    let function = Migrations::function("people, without versions", run);
    let harness = scratch.builder().migrations(function).build().unwrap();
    let error = refused(&harness, "1").await;
    assert_report_contains(
        &error,
        ErrorKind::MigrationSource,
        &[
            "the function \"people, without versions\"",
            "Setup::migrator",
        ],
    );
    let database = harness.database().await.unwrap();
    let change = database.migrate().await.unwrap();
    assert_eq!(change.to_string(), "nothing ran");
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_command_without_a_place_for_the_revision_is_refused() {
    let scratch = Scratch::new();
    scratch.write("db/schema.sql", "create table people (id int);");
    let command =
        MigrationCommand::new(["psql", "-qXf", "db/schema.sql"]).input(scratch.path("db"));
    let harness = scratch.builder().migrations(command).build().unwrap();
    let error = refused(&harness, "1").await;
    assert_report_contains(
        &error,
        ErrorKind::MigrationSource,
        &["the command psql -qXf db/schema.sql", "latest = \"head\""],
    );
}

#[tokio::test]
async fn without_migrations_there_is_no_version() {
    let scratch = Scratch::new();
    let harness = scratch.builder().build().unwrap();
    let error = refused(&harness, "1").await;
    assert_report_contains(
        &error,
        ErrorKind::MigrationSource,
        &["version 1 needs migrations, but this plan has none"],
    );
    let database = harness.database().await.unwrap();
    let change = database.migrate().await.unwrap();
    assert_eq!(change.to_string(), "nothing ran");
    database.close().await.unwrap();
}
