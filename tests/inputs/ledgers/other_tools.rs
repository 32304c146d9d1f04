//! Ledgers of tools whose files ebbtide does not apply, as each tool creates them.

mod tools;

use ebbtide::ErrorKind;
use ebbtide::config::Migrations;

use crate::support::Scratch;
use crate::support::pool_sql::run;
use crate::support::reports::{assert_report_contains, first_claim, provision_report};

use tools::TOOLS;

#[tokio::test]
async fn a_ledger_alone_is_no_table_of_the_application() {
    for (sql, claim, latest) in TOOLS {
        let scratch = Scratch::new();
        scratch.write("plain/1.sql", sql);
        let plain = Migrations::sql(scratch.path("plain"));
        let harness = scratch.builder().migrations(plain).build().unwrap();
        let error = harness.tx().await.unwrap_err();
        let table = claim.split(' ').next().unwrap();
        let state = format!("the ledger {table} lists {latest} as applied");
        let texts = [&*state, "but the database has no table"];
        assert_report_contains(&error, ErrorKind::NothingMigrated, &texts);
    }
}

#[tokio::test]
async fn the_claim_of_every_tool_is_read_beside_the_tables() {
    let scratch = Scratch::new();
    let harness = scratch.builder().build().unwrap();
    for (sql, claim, latest) in TOOLS {
        let database = harness.database().await.unwrap();
        run(
            &database.pool(),
            &format!("create table users (id int); {sql}"),
        )
        .await;
        let report = harness.diff(database.url()).await.unwrap();
        let found = report.found.ledger.expect(claim).to_string();
        assert_eq!(found, format!("{claim}, the latest {latest}"));
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_table_that_cannot_be_read_hides_no_other_ledger() {
    let scratch = Scratch::new();
    let odd = "create table schema_version (version boolean);
        create table schema_info (version uuid); create table schema_migrations (filename int);
        create table users (id int);";
    scratch.write("migrations/7_odd.sql", odd);
    let harness = scratch.builder().build().unwrap();
    let health = harness.health().await;
    assert!(health.is_clean(), "{health}");
    assert_eq!(first_claim(&health).latest.as_deref(), Some("7"));
    let database = harness.database().await.unwrap();
    let found = harness.diff(database.url()).await.unwrap().found;
    let claim = found.ledger.unwrap().to_string();
    assert_eq!(claim, "_sqlx_migrations claims 1 applied, the latest 7");
    database.close().await.unwrap();
}

#[tokio::test]
async fn an_empty_ledger_precedes_no_ledger_with_versions() {
    let scratch = Scratch::new();
    let harness = scratch.builder().build().unwrap();
    let database = harness.database().await.unwrap();
    let sql = "create table schema_version (version int4 not null);
         insert into schema_version values (0);
         create table migrations (id serial, migration varchar(255), batch integer);
         insert into migrations (migration, batch) values ('1_users', 1);";
    run(&database.pool(), sql).await;
    let found = harness.diff(database.url()).await.unwrap().found;
    let claim = found.ledger.unwrap().to_string();
    assert_eq!(claim, "migrations claims 1 applied, the latest 1_users");
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_ledger_with_a_further_column_is_the_tools_own() {
    let scratch = Scratch::new();
    let sql = "-- migrate:up
        alter table schema_migrations add applied_at timestamptz default now();
        create table users (id int);
        -- migrate:down\n";
    scratch.write("migrations/1_users.sql", &sql.replace("        ", ""));
    let health = scratch.builder().build().unwrap().health().await;
    assert!(health.is_clean(), "{health}");
    assert_eq!(first_claim(&health).latest.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_version_that_failed_is_dirty() {
    let scratch = Scratch::new();
    let harness = scratch.builder().build().unwrap();
    for (sql, dirty) in [
        (
            "create table schema_migrations (version bigint primary key, dirty boolean not null);
             insert into schema_migrations values (12, true);",
            "12",
        ),
        (
            "create table _prisma_migrations (id text, migration_name text, finished_at timestamptz,
                rolled_back_at timestamptz);
             insert into _prisma_migrations values ('a', '1_users', null, now()),
                ('b', '1_users', now(), null), ('c', '2_pets', null, null);",
            "2_pets",
        ),
    ] {
        let database = harness.database().await.unwrap();
        run(&database.pool(), sql).await;
        let report = harness.diff(database.url()).await.unwrap();
        assert_eq!(report.found.ledger.unwrap().dirty.as_deref(), Some(dirty));
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_table_of_the_user_with_a_common_name_is_no_ledger() {
    for table in [
        "migrations (id int, bird text, distance int)",
        "schema_version (version int, released date)",
        "schema_version (installed_rank int, version text, success bool)",
        "changes (id int, note text)",
        "tags (id int, tag text)",
        "events (id int, event text)",
        "projects (id int, project text)",
        "dependencies (id int)",
        "migration (id int)",
        "changelog (id int, text text)",
        "schema_migrations (id int, version text)",
        "applied (version bigint, description text, success bool)",
    ] {
        let scratch = Scratch::new();
        let (name, _) = table.split_once(' ').unwrap();
        scratch.write("migrations/1_one.sql", &format!("create table {table};"));
        let report = provision_report(scratch.builder()).await;
        assert_eq!(report.rows.keys().collect::<Vec<_>>(), [name]);
    }
}
