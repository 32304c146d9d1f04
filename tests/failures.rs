//! Everything that can be wrong with a plan, with migrations and with extensions, provoked on a real server, and what
//! ebbtide says about it.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[macro_use]
#[path = "support/reports.rs"]
mod reports;
mod support;

use std::time::Duration;

use ebbtide::{ErrorKind, Harness};
use reports::{assert_tells, refused, unplanned};
use support::again::{again_as, passed, role};
use support::{Scratch, here};

const USERS: &str = "create table users (id int primary key, name text not null);\n";

#[test]
fn a_misspelt_backend_in_the_file_lists_the_legal_values() {
    let scratch = Scratch::new();
    scratch.write("ebbtide.toml", "[server]\nbackend = \"dokcer\"\n");
    assert_report!(scratch, unplanned(scratch.builder()), Config, @r#"
    [SCRATCH]/ebbtide.toml:2: server.backend = "dokcer" is not one of: auto, container, native, external
      help: did you mean container?
    "#);
}

#[test]
fn a_misspelt_backend_in_a_variable_names_the_variable() {
    let scratch = Scratch::new();
    if role().is_none() {
        let mut child = again_as("reader of EBBTIDE_BACKEND", here!());
        passed(&child.env("EBBTIDE_BACKEND", "dokcer").output().unwrap());
        return;
    }
    assert_report!(scratch, unplanned(scratch.builder()), Config, @r#"
    EBBTIDE_BACKEND="dokcer" is not one of: auto, container, native, external
      help: did you mean container?
    "#);
}

#[test]
fn an_unknown_key_in_the_file_leads_to_the_nearest_one() {
    let scratch = Scratch::new();
    scratch.write(
        "ebbtide.toml",
        "[server]\nstorage = \"memory\"\nlingre = \"5s\"\n",
    );
    assert_report!(scratch, unplanned(scratch.builder()), Config, @r"
    [SCRATCH]/ebbtide.toml:3: unknown key server.lingre
      help: did you mean linger? legal keys: backend, postgres, image, url, allow_remote, linger, keep, keep_for, log_plans_slower_than, storage, cache, dedicated, settings, bin, state_dir, start_timeout
    ");
}

#[test]
fn a_missing_migrations_directory_names_who_asked_for_it() {
    let scratch = Scratch::new();
    let builder = scratch.builder().migrations(scratch.path("nowhere"));
    assert_report!(scratch, unplanned(builder), MigrationSource, @r"
    migrations directory [SCRATCH]/nowhere does not exist (builder)
      help: create it, correct the path, or call without_migrations() to go without
    ");

    scratch.write("ebbtide.toml", "[provision]\nmigrations = \"nowhere\"\n");
    let builder = Harness::builder().config_file(scratch.path("ebbtide.toml"));
    assert_report!(scratch, unplanned(builder), MigrationSource, @r"
    migrations directory [SCRATCH]/nowhere does not exist ([SCRATCH]/ebbtide.toml:2)
      help: create it, correct the path, or write migrations = false to go without
    ");
}

#[tokio::test]
async fn a_migrations_directory_without_a_migration_is_an_error() {
    let scratch = Scratch::new();
    scratch.write("migrations/README.md", "soon\n");
    assert_report!(scratch, refused(scratch.builder()).await, MigrationSource, @r"
    [SCRATCH]/migrations holds no migration
      help: sqlx migrations are named VERSION_description.sql, refinery's V1__name.sql, diesel's are directories with up.sql; any other file that ends in .sql is plain SQL
    ");
}

#[tokio::test]
async fn a_directory_that_mixes_layouts_names_the_files_and_how_to_choose() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    scratch.write(
        "migrations/V2__visits.sql",
        "create table visits (id int);\n",
    );
    scratch.write("migrations/schema.sql", USERS);
    assert_report!(scratch, refused(scratch.builder()).await, MigrationSource, @r#"
    [SCRATCH]/migrations mixes the layouts of several tools
      files:
        named as refinery's: V2__visits.sql
        named as sqlx's: 1_users.sql
        plain SQL: schema.sql
      help: move what does not belong there, or name the layout: migrations = { sqlx = "DIR" } (or sql, refinery, diesel) below [provision] in ebbtide.toml, EBBTIDE_MIGRATIONS=sqlx:DIR, or `Migrations::sqlx("DIR")`
    "#);
}

#[tokio::test]
async fn two_migrations_of_one_version_are_both_named() {
    let scratch = Scratch::new();
    scratch.write("migrations/7_users.sql", USERS);
    scratch.write("migrations/7_visits.sql", "create table visits (id int);\n");
    assert_report!(scratch, refused(scratch.builder()).await, MigrationSource, @r"
    two migrations have the version 7: [SCRATCH]/migrations/7_users.sql and [SCRATCH]/migrations/7_visits.sql
      help: rename one of them
    ");
}

#[tokio::test]
async fn a_migration_that_is_not_utf8_names_the_line() {
    let scratch = Scratch::new();
    let path = scratch.write("migrations/1_users.sql", USERS);
    std::fs::write(path, [USERS.as_bytes(), b"-- Garc\xeda\n"].concat()).unwrap();
    assert_report!(scratch, refused(scratch.builder()).await, MigrationSource, @r"
    [SCRATCH]/migrations/1_users.sql is not UTF-8
      caused by: byte 68, line 2
      help: save the file with UTF-8 encoding
    ");
}

#[tokio::test]
async fn a_syntax_error_points_into_the_file() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    scratch.write(
        "migrations/2_visits.sql",
        "-- who came\ncreate table visits (\n    id int primary kye\n);\n",
    );
    assert_report!(scratch, refused(scratch.builder()).await, Migration, @r#"
    migration 2 (visits) failed at [SCRATCH]/migrations/2_visits.sql:3:20: syntax error at or near "kye"
      the statement:
        [SCRATCH]/migrations/2_visits.sql:3:20
         2 | create table visits (
         3 |     id int primary kye
           |                    ^
      the server says:
        SQLSTATE 42601: syntax error at or near "kye"
      help: mend the file and run the tests again; nothing of this database was kept
    "#);
}

#[tokio::test]
async fn a_refused_statement_without_a_position_is_found_all_the_same() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    let twice = "insert into users values (1, 'Laura');\n\ninsert into users values (1, 'Ana');\n";
    scratch.write("migrations/2_people.sql", twice);
    assert_report!(scratch, refused(scratch.builder()).await, Migration, @r#"
    migration 2 (people) failed at [SCRATCH]/migrations/2_people.sql:3:1: duplicate key value violates unique constraint "users_pkey"
      the statement:
        [SCRATCH]/migrations/2_people.sql:3:1
         3 | insert into users values (1, 'Ana');
           | ^
      the server says:
        SQLSTATE 23505: duplicate key value violates unique constraint "users_pkey"
        detail: Key (id)=(1) already exists.
        constraint: users_pkey
      help: mend the file and run the tests again; nothing of this database was kept
    "#);
}

#[tokio::test]
async fn an_operator_class_of_pg_trgm_leads_to_its_declaration() {
    let scratch = Scratch::new();
    let index = "create index users_by_name on users\n    using gin (name gin_trgm_ops);\n";
    scratch.write("migrations/1_users.sql", &format!("{USERS}{index}"));
    let error = refused(scratch.builder()).await;
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
      the server says:
        SQLSTATE 42704: operator class "gin_trgm_ops" does not exist for access method "gin"
      help: gin_trgm_ops comes with the extension pg_trgm: declare it with `extensions = ["pg_trgm"]` under [provision] in ebbtide.toml, or `.extension("pg_trgm")` on the builder
    "#);
}

#[tokio::test]
async fn a_function_of_uuid_ossp_leads_to_its_declaration() {
    let scratch = Scratch::new();
    let table = "create table users (\n    id uuid primary key default uuid_generate_v4()\n);\n";
    scratch.write("migrations/1_users.sql", table);
    let error = refused(scratch.builder()).await;
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
      the server says:
        SQLSTATE 42883: function uuid_generate_v4() does not exist
        hint: No function matches the given name and argument types. You might need to add explicit type casts.
      help: uuid_generate_v4 comes with the extension uuid-ossp: declare it with `extensions = ["uuid-ossp"]` under [provision] in ebbtide.toml, or `.extension("uuid-ossp")` on the builder
    "#);
}

#[tokio::test]
async fn a_missing_extension_names_its_package() {
    let scratch = Scratch::new();
    let builder = scratch
        .builder()
        .extensions(["pg_trgm", "no_such_extension"]);
    assert_report!(scratch, refused(builder).await, ExtensionUnavailable, @r"
    PostgreSQL [VERSION] does not have the extension no_such_extension
      help: no_such_extension: look for a package like `postgresql-[MAJOR]-no_such_extension`, or an image that contains it
    ");
}

#[tokio::test]
async fn a_missing_postgis_names_package_and_image() {
    let scratch = Scratch::new();
    let mut tx = scratch.builder().build().unwrap().tx().await.unwrap();
    let known: bool = sqlx::query_scalar(
        "select exists (select from pg_available_extensions where name = 'postgis')",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    tx.close().await.unwrap();
    // Where a server has it, one that is never there stands beside it, and PostGIS must not be complained of.
    let error = refused(
        scratch
            .builder()
            .extensions(["postgis", "no_such_extension"]),
    )
    .await;
    let report = format!("{error:?}");
    assert_tells(
        &error,
        ErrorKind::ExtensionUnavailable,
        &["postgresql-", "no_such_extension"],
    );
    assert_eq!(report.contains("-postgis-3"), !known, "{report}");
    assert_eq!(report.contains("postgis/postgis"), !known, "{report}");
}

#[tokio::test]
async fn migrations_that_create_nothing_are_an_error() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_nothing.sql", "select 1;\n");
    scratch.write(
        "migrations/2_temporary.sql",
        "create temporary table users (id int);\n",
    );
    assert_report!(scratch, refused(scratch.builder()).await, NothingMigrated, @r"
    the ledger says that 2 is applied, but the database has no table
      help: a migration that ends its own transaction (COMMIT, ROLLBACK), or creates its tables in another database or a temporary schema, looks like this; with nothing to migrate, set `migrations = false`
    ");
}

#[tokio::test]
async fn a_table_lost_to_a_rollback_is_named_with_its_migration() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_visits.sql", "create table visits (id int);\n");
    scratch.write(
        "migrations/2_users.sql",
        &format!("-- people\n{USERS}rollback;\nbegin;\n"),
    );
    let error = refused(scratch.builder()).await;
    assert_tells(&error, ErrorKind::LedgerMismatch, &["2_users.sql:2"]);
    assert_report!(scratch, error, LedgerMismatch, @r"
    the ledger says that 2 is applied, but users is missing
      missing tables:
        users (created at [SCRATCH]/migrations/2_users.sql:2)
      help: look for a COMMIT, ROLLBACK or SET search_path inside these migrations, and for a DROP in SQL that a later one puts together: what they created was undone or went elsewhere
    ");
}

#[tokio::test]
async fn a_table_dropped_behind_the_text_is_named_with_its_migration() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    scratch.write("migrations/2_visits.sql", "create table visits (id int);\n");
    let hidden = "do $$ begin execute format('drop table %I', 'us' || 'ers'); end $$;\n";
    scratch.write("migrations/3_tidy.sql", hidden);
    assert_report!(scratch, refused(scratch.builder()).await, LedgerMismatch, @r"
    the ledger says that 3 is applied, but users is missing
      missing tables:
        users (created at [SCRATCH]/migrations/1_users.sql:1)
      help: look for a COMMIT, ROLLBACK or SET search_path inside these migrations, and for a DROP in SQL that a later one puts together: what they created was undone or went elsewhere
    ");
}

#[tokio::test]
async fn a_migration_that_writes_to_the_ledger_is_found_out() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    scratch.write(
        "migrations/2_forged.sql",
        "delete from _sqlx_migrations where version = 1;\n",
    );
    assert_report!(scratch, refused(scratch.builder()).await, LedgerMismatch, @r"
    the migration ledger does not agree with the migration files
      differences:
        1 (users) is not in the ledger
      help: a migration writes to the ledger, or a file changed while it was applied; let sqlx alone write there
    ");
}

#[tokio::test]
async fn a_ledger_that_knows_more_and_other_than_the_files_is_found_out() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    scratch.write(
        "migrations/2_forged.sql",
        "update _sqlx_migrations set success = false, checksum = '\\xabcd' where version = 1;\n\
         insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (99, 'x', true, '', 0);\n",
    );
    assert_report!(scratch, refused(scratch.builder()).await, LedgerMismatch, @r"
    the migration ledger does not agree with the migration files
      differences:
        1 is dirty: it was begun, and is not said to have succeeded
        1 (users) has another checksum in the ledger: abcd instead of f442f2d520af
        99 is in the ledger, and there is no such file
      help: a migration writes to the ledger, or a file changed while it was applied; let sqlx alone write there
    ");
}

#[tokio::test]
async fn a_relation_that_comes_later_leads_to_its_migration() {
    let scratch = Scratch::new();
    let visits =
        "create table visits (\n    id int primary key,\n    user_id int references users\n);\n";
    scratch.write("migrations/1_visits.sql", visits);
    scratch.write("migrations/2_users.sql", USERS);
    let error = refused(scratch.builder()).await;
    assert!(
        error
            .help()
            .unwrap()
            .contains("2_users.sql:1 would create it"),
        "{error:?}"
    );
    assert_report!(scratch, error, Migration, @r#"
    migration 1 (visits) failed at [SCRATCH]/migrations/1_visits.sql:1:1: relation "users" does not exist
      the statement:
        [SCRATCH]/migrations/1_visits.sql:1:1
         1 | create table visits (
           | ^
      the server says:
        SQLSTATE 42P01: relation "users" does not exist
      help: [SCRATCH]/migrations/2_users.sql:1 would create it, but has not run at this point: check the order of the versions
    "#);
}

#[tokio::test]
async fn a_migration_that_hangs_is_named_and_ended_on_the_server() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    let sleepy = "create table beds (id int);\nselect 1;\n\nselect pg_sleep(60); -- the sleep of failures.rs\nselect 2;\n";
    scratch.write("migrations/2_sleepy.sql", sleepy);
    let error = refused(scratch.builder().provision_timeout(Duration::from_secs(1))).await;
    assert_report!(scratch, error, Timeout, @r"
    migration 2 (sleepy) is not done after 1s: [SCRATCH]/migrations/2_sleepy.sql:4:1
      the statement:
        [SCRATCH]/migrations/2_sleepy.sql:4:1
         4 | select pg_sleep(60); -- the sleep of failures.rs
           | ^
      it waited for:
        Timeout: PgSleep
      help: raise provision.timeout or EBBTIDE_PROVISION_TIMEOUT, or look for a lock that the migration waits for
    ");
    no_session_says("the sleep of failures.rs").await;
}

#[tokio::test]
async fn a_seed_that_hangs_is_named_and_ended_on_the_server() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    scratch.write(
        "seeds/010_sleepy.sql",
        "select pg_sleep(60) /* the seed of failures.rs */;\n",
    );
    let error = refused(scratch.builder().provision_timeout(Duration::from_secs(1))).await;
    assert_report!(scratch, error, Timeout, @r"
    seed [SCRATCH]/seeds/010_sleepy.sql is not done after 1s
      help: raise provision.timeout or EBBTIDE_PROVISION_TIMEOUT, or make the seed smaller
    ");
    no_session_says("the seed of failures.rs").await;
}

/// Waits until no statement with these words runs on the server that all tests share.
async fn no_session_says(words: &str) {
    let scratch = Scratch::new();
    let mut tx = scratch.builder().build().unwrap().tx().await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        // Activity is read once a transaction unless told otherwise.
        sqlx::query("select pg_stat_clear_snapshot()")
            .execute(&mut *tx)
            .await
            .unwrap();
        let running: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where strpos(query, $1) > 0 and state = 'active' \
             and pid <> pg_backend_pid()",
        )
        .bind(words)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        if running == 0 {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the statement still runs"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tx.close().await.unwrap();
}
