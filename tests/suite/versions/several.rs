//! Versions of a plan with several sources.

use ebbtide::config::{Builder, Migrations};
use ebbtide::{ErrorKind, Setup};

use crate::support::reports::assert_report_contains;
use crate::support::{Scratch, pool_sql};

fn builder(scratch: &Scratch) -> Builder {
    scratch.write(
        "roles/1.sql",
        "create schema auth; create table auth.users (id int);",
    );
    for (number, table) in [(1, "owners"), (2, "pets")] {
        let name = format!("platform/{number}_{table}");
        scratch.write(
            &format!("{name}.up.sql"),
            &format!("create table {table} (id int);"),
        );
        scratch.write(&format!("{name}.down.sql"), &format!("drop table {table};"));
    }
    for (number, table) in [(2, "visits"), (3, "bills")] {
        let name = format!("app/{number}_{table}");
        scratch.write(
            &format!("{name}/up.sql"),
            &format!("create table {table} (id int);"),
        );
        scratch.write(&format!("{name}/down.sql"), &format!("drop table {table};"));
    }
    let [platform, app] = ["platform", "app"].map(|dir| scratch.path(dir));
    let sources = Migrations::from([Migrations::sqlx(platform), Migrations::diesel(app)]);
    scratch
        .builder()
        .migrations(sources)
        .bootstrap(scratch.path("roles"))
}

#[tokio::test]
async fn each_source_is_complete_before_the_next_begins() {
    let scratch = Scratch::new();
    let harness = builder(&scratch).build().unwrap();
    let tables = "select string_agg(relname::text, ' ' order by relname) from pg_class \
                  where relkind = 'r' and relname in ('owners', 'pets', 'visits', 'bills', 'users')";
    let database = harness
        .with_setup(Setup::new().migrations_up_to(1))
        .database()
        .await
        .unwrap();
    assert_eq!(
        pool_sql::text(&database.pool(), tables).await,
        "owners users"
    );
    let change = database.migrate_to(("app", 2)).await.unwrap();
    assert_eq!(change.to_string(), "applied 2, 2");
    assert_eq!(
        pool_sql::text(&database.pool(), tables).await,
        "owners pets users visits"
    );
    let change = database.migrate().await.unwrap();
    assert_eq!(change.to_string(), "applied 3");
    let report = harness.diff(database.url()).await.unwrap();
    assert!(report.is_clean(), "{report}");
    let change = database.migrate_to(("platform", 1)).await.unwrap();
    assert_eq!(change.to_string(), "reverted 3, 2, 2");
    assert_eq!(
        pool_sql::text(&database.pool(), tables).await,
        "owners users"
    );
    let change = database.migrate().await.unwrap();
    assert_eq!(change.to_string(), "applied 2, 2, 3");
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_version_of_several_sources_needs_the_name_of_its_source() {
    let scratch = Scratch::new();
    let harness = builder(&scratch).build().unwrap();
    let refused = |setup: Setup| {
        let harness = harness.with_setup(setup);
        async move { harness.database().await.unwrap_err() }
    };
    let error = refused(Setup::new().migrations_up_to(2)).await;
    assert_report_contains(
        &error,
        ErrorKind::MigrationSource,
        &[
            "can mean several",
            "platform",
            "app",
            "(\"platform\", \"2\")",
        ],
    );
    let error = refused(Setup::new().migrations_up_to(("shop", 2))).await;
    assert_report_contains(
        &error,
        ErrorKind::MigrationSource,
        &["version 2 of shop must name a source", "platform", "app"],
    );
    // The end of the first source is the start of the second.
    let setup = Setup::new().migrations_up_to(("platform", 2));
    let database = harness.with_setup(setup).database().await.unwrap();
    let change = database.migrate().await.unwrap();
    assert_eq!(change.to_string(), "applied 2, 3");
    database.close().await.unwrap();
}
