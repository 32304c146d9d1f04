//! Mistakes in a plan, in migrations and in extensions, provoked on a real server, and their
//! reports.

use std::time::Duration;

use crate::support::child_process::{assert_passed, child_role, test_command_as};
use crate::support::reports::{assert_report_contains, plan_error, provision_error};
use crate::support::wait::HANG_LIMIT;
use crate::support::{Scratch, this_test};
use ebbtide::{ErrorKind, Harness};

const USERS: &str = "create table users (id int primary key, name text not null);\n";

#[test]
fn a_misspelt_backend_in_the_file_lists_the_legal_values() {
    let scratch = Scratch::new();
    scratch.write("ebbtide.toml", "[server]\nbackend = \"dokcer\"\n");
    assert_report!(scratch, plan_error(scratch.builder()), Config, @r#"
    [SCRATCH]/ebbtide.toml:2: server.backend must be auto, container, native or external, but is "dokcer"
      help: did you mean container?
    "#);
}

#[test]
fn a_misspelt_backend_in_a_variable_is_reported_with_the_variable() {
    let scratch = Scratch::new();
    if child_role().is_none() {
        let mut child = test_command_as("reader of EBBTIDE_BACKEND", this_test!());
        assert_passed(&child.env("EBBTIDE_BACKEND", "dokcer").output().unwrap());
        return;
    }
    assert_report!(scratch, plan_error(scratch.builder()), Config, @r#"
    EBBTIDE_BACKEND must be auto, container, native or external, but is "dokcer"
      help: did you mean container?
    "#);
}

#[test]
fn an_unknown_key_in_the_file_is_reported_with_the_nearest_one() {
    let scratch = Scratch::new();
    scratch.write(
        "ebbtide.toml",
        "[server]\nstorage = \"memory\"\nlingre = \"5s\"\n",
    );
    assert_report!(scratch, plan_error(scratch.builder()), Config, @r"
    [SCRATCH]/ebbtide.toml:3: unknown key server.lingre
      help: did you mean linger? legal keys: backend, postgres, image, url, allow_remote, role_password, linger, keep, keep_for, log_plans_slower_than, storage, cache, dedicated, settings, bin, state_dir, start_timeout
    ");
}

#[test]
fn a_missing_migrations_directory_is_reported_with_its_source() {
    let scratch = Scratch::new();
    let builder = scratch.builder().migrations(scratch.path("nowhere"));
    assert_report!(scratch, plan_error(builder), MigrationSource, @r"
    the migrations directory must exist, but [SCRATCH]/nowhere does not (builder)
      help: create it, correct the path, or call without_migrations() to go without
    ");

    scratch.write("ebbtide.toml", "[provision]\nmigrations = \"nowhere\"\n");
    let builder = Harness::builder().config_file(scratch.path("ebbtide.toml"));
    assert_report!(scratch, plan_error(builder), MigrationSource, @r"
    the migrations directory must exist, but [SCRATCH]/nowhere does not ([SCRATCH]/ebbtide.toml:2)
      help: create it, correct the path, or write migrations = false to go without
    ");
}

#[tokio::test]
async fn a_migrations_directory_without_a_migration_is_an_error() {
    let scratch = Scratch::new();
    scratch.write("migrations/README.md", "soon\n");
    assert_report!(scratch, provision_error(scratch.builder()).await, MigrationSource, @r"
    [SCRATCH]/migrations must contain at least one migration
      help: sqlx migrations are named VERSION_description.sql, refinery migrations V1__name.sql, diesel migrations are directories with up.sql, dbmate migrations have a line `-- migrate:up`, goose migrations have a line `-- +goose Up`, and sql-migrate migrations have a line `-- +migrate Up`; any other file that ends in .sql is plain SQL; for any other tool, use its command (`MigrationCommand`)
    ");
}

#[tokio::test]
async fn a_directory_that_mixes_layouts_is_reported_with_its_files_and_the_remedy() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    scratch.write(
        "migrations/V2__visits.sql",
        "create table visits (id int);\n",
    );
    scratch.write("migrations/schema.sql", USERS);
    assert_report!(scratch, provision_error(scratch.builder()).await, MigrationSource, @r#"
    a migrations directory must have the layout of one tool, but [SCRATCH]/migrations mixes several
      files:
        named like refinery: V2__visits.sql
        named like sqlx: 1_users.sql
        plain SQL: schema.sql
      help: move the files of the other tools elsewhere, or choose the layout: migrations = { sqlx = "DIR" } (or sql, refinery, diesel, dbmate, goose, sql-migrate) below [provision] in ebbtide.toml, EBBTIDE_MIGRATIONS=sqlx:DIR, or `Migrations::sqlx("DIR")`
    "#);
}

#[tokio::test]
async fn two_migrations_with_one_version_are_both_reported() {
    let scratch = Scratch::new();
    scratch.write("migrations/7_users.sql", USERS);
    scratch.write("migrations/7_visits.sql", "create table visits (id int);\n");
    assert_report!(scratch, provision_error(scratch.builder()).await, MigrationSource, @r"
    every migration must have its own version, but [SCRATCH]/migrations/7_users.sql and [SCRATCH]/migrations/7_visits.sql both have 7
      help: give one of them another version
    ");
}

#[tokio::test]
async fn a_migration_that_is_not_utf8_is_reported_with_its_line() {
    let scratch = Scratch::new();
    let path = scratch.write("migrations/1_users.sql", USERS);
    std::fs::write(path, [USERS.as_bytes(), b"-- Garc\xeda\n"].concat()).unwrap();
    assert_report!(scratch, provision_error(scratch.builder()).await, MigrationSource, @r"
    [SCRATCH]/migrations/1_users.sql is not UTF-8
      caused by: byte 0xed at line 2, column 8
      help: save the file with UTF-8 encoding
    ");
}

#[tokio::test]
async fn a_syntax_error_is_reported_with_its_place_in_the_file() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    scratch.write(
        "migrations/2_visits.sql",
        "-- who came\ncreate table visits (\n    id int primary kye\n);\n",
    );
    assert_report!(scratch, provision_error(scratch.builder()).await, Migration, @r#"
    migration 2 (visits) failed at [SCRATCH]/migrations/2_visits.sql:3:20: syntax error at or near "kye"
      the statement:
        [SCRATCH]/migrations/2_visits.sql:3:20
         2 | create table visits (
         3 |     id int primary kye
           |                    ^
      server error:
        SQLSTATE 42601: syntax error at or near "kye"
      help: correct the file and run the tests again; nothing of this database was kept
    "#);
}

#[tokio::test]
async fn a_refused_statement_without_a_position_is_reported_with_its_line() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    let twice = "insert into users values (1, 'Laura');\n\ninsert into users values (1, 'Ana');\n";
    scratch.write("migrations/2_people.sql", twice);
    assert_report!(scratch, provision_error(scratch.builder()).await, Migration, @r#"
    migration 2 (people) failed at [SCRATCH]/migrations/2_people.sql:3:1: duplicate key value violates unique constraint "users_pkey"
      the statement:
        [SCRATCH]/migrations/2_people.sql:3:1
         3 | insert into users values (1, 'Ana');
           | ^
      server error:
        SQLSTATE 23505: duplicate key value violates unique constraint "users_pkey"
        detail: Key (id)=(1) already exists.
        constraint: users_pkey
      help: correct the file and run the tests again; nothing of this database was kept
    "#);
}

#[tokio::test]
async fn an_operator_class_of_pg_trgm_is_reported_with_its_extension() {
    let scratch = Scratch::new();
    let index = "create index users_by_name on users\n    using gin (name gin_trgm_ops);\n";
    scratch.write("migrations/1_users.sql", &format!("{USERS}{index}"));
    let error = provision_error(scratch.builder()).await;
    assert!(
        error.help().unwrap().contains("extensions = [\"pg_trgm\"]"),
        "{error:?}"
    );
    assert_report!(scratch, error, Migration, @r#"
    migration 1 (users) failed at [SCRATCH]/migrations/1_users.sql:2:1: operator class "gin_trgm_ops" does not exist for access method "gin"
      the statement:
        [SCRATCH]/migrations/1_users.sql:2:1
         1 | create table users (id int primary key, name text not null);
         2 | create index users_by_name on users
           | ^
      server error:
        SQLSTATE 42704: operator class "gin_trgm_ops" does not exist for access method "gin"
      help: gin_trgm_ops comes with the extension pg_trgm: declare it with `extensions = ["pg_trgm"]` under [provision] in ebbtide.toml, or `.extension("pg_trgm")` on the builder
    "#);
}

#[tokio::test]
async fn a_function_of_uuid_ossp_is_reported_with_its_extension() {
    let scratch = Scratch::new();
    let table = "create table users (\n    id uuid primary key default uuid_generate_v4()\n);\n";
    scratch.write("migrations/1_users.sql", table);
    let error = provision_error(scratch.builder()).await;
    assert!(
        error
            .help()
            .unwrap()
            .contains("extensions = [\"uuid-ossp\"]"),
        "{error:?}"
    );
    assert_report!(scratch, error, Migration, @r#"
    migration 1 (users) failed at [SCRATCH]/migrations/1_users.sql:2:33: function uuid_generate_v4() does not exist
      the statement:
        [SCRATCH]/migrations/1_users.sql:2:33
         1 | create table users (
         2 |     id uuid primary key default uuid_generate_v4()
           |                                 ^
      server error:
        SQLSTATE 42883: function uuid_generate_v4() does not exist
        hint: No function matches the given name and argument types. You might need to add explicit type casts.
      help: uuid_generate_v4 comes with the extension uuid-ossp: declare it with `extensions = ["uuid-ossp"]` under [provision] in ebbtide.toml, or `.extension("uuid-ossp")` on the builder
    "#);
}

#[tokio::test]
async fn a_missing_extension_is_reported_with_its_package() {
    let scratch = Scratch::new();
    let builder = scratch
        .builder()
        .extension("pg_trgm")
        .extension("no_such_extension");
    assert_report!(scratch, provision_error(builder).await, ExtensionUnavailable, @r"
    PostgreSQL [VERSION] does not have the extension no_such_extension
      help: no_such_extension: look for a package like `postgresql-[MAJOR]-no_such_extension`, or an image that contains it
    ");
}

#[tokio::test]
async fn a_missing_postgis_is_reported_with_its_package_and_image() {
    let scratch = Scratch::new();
    let mut tx = scratch.builder().build().unwrap().tx().await.unwrap();
    let has_postgis: bool = sqlx::query_scalar(
        "select exists (select from pg_available_extensions where name = 'postgis')",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    tx.close().await.unwrap();
    // The other extension is always missing. If the server has PostGIS, the report must not mention
    // it.
    let error = provision_error(
        scratch
            .builder()
            .extension("postgis")
            .extension("no_such_extension"),
    )
    .await;
    let report = format!("{error:?}");
    assert_report_contains(
        &error,
        ErrorKind::ExtensionUnavailable,
        &["postgresql-", "no_such_extension"],
    );
    assert_eq!(report.contains("-postgis-3"), !has_postgis, "{report}");
    assert_eq!(report.contains("postgis/postgis"), !has_postgis, "{report}");
}

#[tokio::test]
async fn migrations_that_create_nothing_are_an_error() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_nothing.sql", "select 1;\n");
    scratch.write(
        "migrations/2_temporary.sql",
        "create temporary table users (id int);\n",
    );
    assert_report!(scratch, provision_error(scratch.builder()).await, NothingMigrated, @r"
    the ledger lists 2 as applied, but the database has no table
      help: look for a migration that ends its own transaction (COMMIT, ROLLBACK), or creates its tables in another database or a temporary schema; if there is nothing to migrate, set `migrations = false`
    ");
}

#[tokio::test]
async fn a_table_lost_to_a_rollback_is_reported_with_its_migration() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_visits.sql", "create table visits (id int);\n");
    scratch.write(
        "migrations/2_users.sql",
        &format!("-- people\n{USERS}rollback;\nbegin;\n"),
    );
    let error = provision_error(scratch.builder()).await;
    assert_report_contains(&error, ErrorKind::LedgerMismatch, &["2_users.sql:2"]);
    assert_report!(scratch, error, LedgerMismatch, @r#"
    the ledger lists 2 as applied, but users is missing
      missing tables:
        users (created at [SCRATCH]/migrations/2_users.sql:2)
      help: look for a COMMIT, ROLLBACK or SET search_path in these migrations: the tables were removed, or created elsewhere; if they may be missing, set provision.ignore_missing_tables = ["users"]
    "#);
}

#[tokio::test]
async fn a_migration_that_writes_to_the_ledger_is_detected() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    scratch.write(
        "migrations/2_forged.sql",
        "delete from _sqlx_migrations where version = 1;\n",
    );
    assert_report!(scratch, provision_error(scratch.builder()).await, LedgerMismatch, @r"
    the migration ledger differs from the migration files
      differences:
        1 (users) is not in the ledger
      help: a migration writes to the ledger, or a file changed while it was applied: leave this table to sqlx, and run the tests again
    ");
}

#[tokio::test]
async fn every_difference_between_ledger_and_files_is_reported() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    scratch.write(
        "migrations/2_forged.sql",
        "update _sqlx_migrations set success = false, checksum = '\\xabcd' where version = 1;\n\
         insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (99, 'x', true, '', 0);\n",
    );
    assert_report!(scratch, provision_error(scratch.builder()).await, LedgerMismatch, @r"
    the migration ledger differs from the migration files
      differences:
        1 is dirty: it started and was never marked successful
        1 (users) has a different checksum in the ledger: abcd instead of f442f2d520af
        99 is in the ledger, but no file has this version
      help: a migration writes to the ledger, or a file changed while it was applied: leave this table to sqlx, and run the tests again
    ");
}

#[tokio::test]
async fn a_relation_that_a_later_migration_creates_is_reported_with_that_migration() {
    let scratch = Scratch::new();
    let visits =
        "create table visits (\n    id int primary key,\n    user_id int references users\n);\n";
    scratch.write("migrations/1_visits.sql", visits);
    scratch.write("migrations/2_users.sql", USERS);
    let error = provision_error(scratch.builder()).await;
    assert!(
        error
            .help()
            .unwrap()
            .contains("2_users.sql:1, after this statement"),
        "{error:?}"
    );
    assert_report!(scratch, error, Migration, @r#"
    migration 1 (visits) failed at [SCRATCH]/migrations/1_visits.sql:1:1: relation "users" does not exist
      the statement:
        [SCRATCH]/migrations/1_visits.sql:1:1
         1 | create table visits (
           | ^
      server error:
        SQLSTATE 42P01: relation "users" does not exist
      help: users is created at [SCRATCH]/migrations/2_users.sql:1, after this statement: check the order of the versions
    "#);
}

#[tokio::test]
async fn a_migration_that_hangs_is_reported_and_cancelled_on_the_server() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    let sleepy = "create table beds (id int);\nselect 1;\n\nselect pg_sleep(60); -- the sleep of failures.rs\nselect 2;\n";
    scratch.write("migrations/2_sleepy.sql", sleepy);
    let error = provision_error(scratch.builder().provision_timeout(Duration::from_secs(1))).await;
    assert_report!(scratch, error, Timeout, @r"
    migration 2 (sleepy) did not finish within 1s: [SCRATCH]/migrations/2_sleepy.sql:4:1
      the statement:
        [SCRATCH]/migrations/2_sleepy.sql:4:1
         4 | select pg_sleep(60); -- the sleep of failures.rs
           | ^
      it waited for:
        Timeout: PgSleep
      help: raise provision.timeout or EBBTIDE_PROVISION_TIMEOUT, or look for a lock that the statement waits for
    ");
    wait_until_no_statement_contains("the sleep of failures.rs").await;
}

#[tokio::test]
async fn a_seed_that_hangs_is_reported_and_cancelled_on_the_server() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    scratch.write(
        "seeds/010_sleepy.sql",
        "select pg_sleep(60) /* the seed of failures.rs */;\n",
    );
    let error = provision_error(scratch.builder().provision_timeout(Duration::from_secs(1))).await;
    assert_report!(scratch, error, Timeout, @r"
    a seed did not finish within 1s: [SCRATCH]/seeds/010_sleepy.sql:1:1
      the statement:
        [SCRATCH]/seeds/010_sleepy.sql:1:1
         1 | select pg_sleep(60) /* the seed of failures.rs */;
           | ^
      it waited for:
        Timeout: PgSleep
      help: raise provision.timeout or EBBTIDE_PROVISION_TIMEOUT, or look for a lock that the statement waits for
    ");
    wait_until_no_statement_contains("the seed of failures.rs").await;
}

/// Waits until no statement with this text runs on the server that all tests share.
async fn wait_until_no_statement_contains(text: &str) {
    let scratch = Scratch::new();
    let mut tx = scratch.builder().build().unwrap().tx().await.unwrap();
    let deadline = std::time::Instant::now() + HANG_LIMIT;
    loop {
        // Within a transaction, pg_stat_activity returns the same snapshot until it is cleared.
        sqlx::query("select pg_stat_clear_snapshot()")
            .execute(&mut *tx)
            .await
            .unwrap();
        let running: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where strpos(query, $1) > 0 and state = 'active' \
             and pid <> pg_backend_pid()",
        )
        .bind(text)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        if running == 0 {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the statement is still running"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tx.close().await.unwrap();
}
