//! Migrations that fail or cannot be reverted: how far the database came.

use std::time::Duration;

use ebbtide::{Database, ErrorKind, Setup};

use crate::support::reports::assert_report_contains;
use crate::support::{Scratch, pool_sql};

const PEOPLE: &str = "create table people (id int primary key, name text not null);";

async fn at_one(scratch: &Scratch) -> Database {
    let setup = Setup::new().migrations_up_to(1);
    let builder = scratch.builder().provision_timeout(Duration::from_secs(5));
    let harness = builder.build().unwrap().with_setup(setup);
    harness.database().await.unwrap()
}

async fn ledger(database: &Database) -> String {
    let query = "select string_agg(version::text, ' ' order by version) from _sqlx_migrations";
    pool_sql::text(&database.pool(), query).await
}

#[tokio::test]
async fn a_migration_that_the_rows_break_is_reported_with_its_place_and_the_version_reached() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_people.sql", PEOPLE);
    scratch.write("migrations/2_notes.sql", "create table notes (id int);");
    let unique = "-- Two people have one name.\ncreate unique index people_name on people (name);";
    scratch.write("migrations/3_unique.sql", unique);
    let database = at_one(&scratch).await;
    let insert = "insert into people values (1, 'Ada'), (2, 'Ada')";
    pool_sql::run(&database.pool(), insert).await;
    let error = database.migrate().await.unwrap_err();
    assert_report_contains(
        &error,
        ErrorKind::Migration,
        &[
            "migration 3 (unique) failed at",
            "3_unique.sql:2:1",
            "the database is now at",
            "version 2",
        ],
    );
    let help = error.help();
    assert_eq!(help, Some("correct the file and run the tests again"));
    assert_eq!(
        ledger(&database).await,
        "1 2",
        "the migrations before it remain"
    );
    // The failed migration holds no lock, and the next call continues after the last success.
    pool_sql::run(&database.pool(), "delete from people where id = 2").await;
    let change = database.migrate().await.unwrap();
    assert_eq!(change.to_string(), "applied 3");
    assert_eq!(ledger(&database).await, "1 2 3");
    database.close().await.unwrap();
}

#[tokio::test]
async fn an_irreversible_migration_is_refused_before_anything_is_reverted() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_people.up.sql", PEOPLE);
    scratch.write("migrations/1_people.down.sql", "drop table people;");
    scratch.write(
        "migrations/2_no_names.up.sql",
        "alter table people drop name;",
    );
    scratch.write("migrations/3_notes.up.sql", "create table notes (id int);");
    scratch.write("migrations/3_notes.down.sql", "drop table notes;");
    let harness = scratch.builder().build().unwrap();
    let database = harness.database().await.unwrap();
    let error = database.migrate_to(1).await.unwrap_err();
    assert_report_contains(
        &error,
        ErrorKind::MigrationSource,
        &[
            "to reach version 1, migration 2",
            "has no way down",
            ".down.sql",
            "migrations_up_to",
        ],
    );
    assert_eq!(ledger(&database).await, "1 2 3");
    let change = database.migrate_to(2).await.unwrap();
    assert_eq!(change.to_string(), "reverted 3");
    assert_eq!(ledger(&database).await, "1 2");
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_way_down_without_a_statement_is_none() {
    let scratch = Scratch::new();
    let text = "-- +goose Up\ncreate table people (id int);\n-- +goose Down\n";
    scratch.write("migrations/1_people.sql", text);
    let text = "-- +goose Up\ncreate table notes (id int);\n-- +goose Down\n-- Nothing.\n";
    scratch.write("migrations/2_notes.sql", text);
    let database = scratch.builder().build().unwrap().database().await.unwrap();
    let error = database.migrate_to(1).await.unwrap_err();
    assert_report_contains(
        &error,
        ErrorKind::MigrationSource,
        &["migration 2", "no way down"],
    );
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_way_down_that_fails_states_the_version_reached() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_people.up.sql", PEOPLE);
    scratch.write("migrations/2_notes.up.sql", "create table notes (id int);");
    scratch.write("migrations/2_notes.down.sql", "drop table note;");
    scratch.write("migrations/3_more.up.sql", "create table more (id int);");
    scratch.write("migrations/3_more.down.sql", "drop table more;");
    let database = scratch.builder().build().unwrap().database().await.unwrap();
    let error = database.migrate_to(1).await.unwrap_err();
    assert_report_contains(
        &error,
        ErrorKind::Migration,
        &["reverting migration 2", "2_notes.down.sql:1:1", "version 2"],
    );
    assert_eq!(ledger(&database).await, "1 2");
    let change = database.migrate().await.unwrap();
    assert_eq!(change.to_string(), "applied 3");
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_ledger_that_other_code_has_written_is_refused() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_people.sql", PEOPLE);
    scratch.write("migrations/2_notes.sql", "create table notes (id int);");
    let database = at_one(&scratch).await;
    let own = "create table notes (id int); \
               insert into _sqlx_migrations select 2, 'notes', now(), true, checksum, 0 \
               from _sqlx_migrations";
    pool_sql::run(&database.pool(), own).await;
    let error = database.migrate().await.unwrap_err();
    assert_report_contains(
        &error,
        ErrorKind::LedgerMismatch,
        &[
            "2 is in the ledger",
            "ebbtide left the database at",
            "version 1",
        ],
    );
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_table_that_a_migration_loses_is_missed() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_people.sql", PEOPLE);
    let text = "create table notes (id int); rollback; begin;";
    scratch.write("migrations/2_notes.sql", text);
    let database = at_one(&scratch).await;
    let error = database.migrate().await.unwrap_err();
    assert_report_contains(
        &error,
        ErrorKind::LedgerMismatch,
        &["notes is missing", "version 2"],
    );
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_lock_of_the_test_ends_the_wait_at_the_timeout() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_people.sql", PEOPLE);
    scratch.write("migrations/2_age.sql", "alter table people add age int;");
    let database = at_one(&scratch).await;
    let pool = database.pool();
    let mut transaction = pool.begin().await.unwrap();
    let lock = "lock table people in access share mode";
    sqlx::query(lock).execute(&mut *transaction).await.unwrap();
    let error = database.migrate().await.unwrap_err();
    assert_report_contains(
        &error,
        ErrorKind::Timeout,
        &["migration 2 (age)", "held by session", "version 1"],
    );
    transaction.rollback().await.unwrap();
    assert_eq!(database.migrate().await.unwrap().to_string(), "applied 2");
    database.close().await.unwrap();
}
