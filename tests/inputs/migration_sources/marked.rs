//! Directories whose files contain the way up and the way down: dbmate, goose and sql-migrate.

use std::process::Command;

use ebbtide::ErrorKind;
use ebbtide::config::{Backend, Builder, Migrations};
use ebbtide::report::ProvisionReport;
use sqlx::AssertSqlSafe;

use crate::support::reports::{
    assert_report_contains, first_claim, provision_error, provision_report,
};
use crate::support::skip::skip;
use crate::support::{Scratch, runs_natively, this_test};

/// The rows of a query's only column, as text.
async fn rows(builder: Builder, query: &str) -> Vec<String> {
    let mut tx = builder.build().unwrap().tx().await.unwrap();
    let rows = sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    tx.close().await.unwrap();
    rows
}

fn tables(report: &ProvisionReport) -> Vec<&str> {
    report.rows.keys().map(String::as_str).collect()
}

fn versions(report: &ProvisionReport) -> Vec<&str> {
    let version = |it: &'_ ebbtide::report::MigrationReport| it.version.clone();
    assert!(report.migrations.iter().all(|it| version(it).is_some()));
    report
        .migrations
        .iter()
        .filter_map(|migration| migration.version.as_deref())
        .collect()
}

/// A directory whose first migration creates two tables and whose second drops one of them, both
/// with a way down that would undo it.
fn write_two(scratch: &Scratch, names: [&str; 2], up: &str, down: &str) {
    let [first, second] = names;
    scratch.write(
        &format!("migrations/{first}"),
        &format!(
            "{up}\ncreate table users (id int);\ncreate table pets (id int);\n{down}\n\
             drop table users;\ndrop table pets;\n"
        ),
    );
    scratch.write(
        &format!("migrations/{second}"),
        &format!("{up}\ndrop table pets;\n{down}\ncreate table pets (id int);\n"),
    );
}

#[tokio::test]
async fn only_the_way_up_runs_whether_the_layout_is_recognised_or_named() {
    for (layout, up, down, names, order) in [
        // dbmate's order is that of the names, and its versions are texts.
        (
            "dbmate",
            "-- migrate:up",
            "-- migrate:down",
            ["010_users.sql", "9_pets.sql"],
            ["010", "9"],
        ),
        (
            "goose",
            "-- +goose Up",
            "-- +goose Down",
            ["009_users.sql", "10_pets.sql"],
            ["9", "10"],
        ),
        (
            "sql-migrate",
            "-- +migrate Up",
            "-- +migrate Down",
            ["9-users.sql", "10.sql"],
            ["9-users.sql", "10.sql"],
        ),
    ] {
        let scratch = Scratch::new();
        write_two(&scratch, names, up, down);
        let report = provision_report(scratch.builder()).await;
        assert_eq!(tables(&report), ["users"], "{layout}");
        assert_eq!(versions(&report), order, "{layout}");
        scratch.write(
            "ebbtide.toml",
            &format!("[provision]\nmigrations = {{ {layout} = 'migrations' }}\n"),
        );
        let named = ebbtide::Harness::builder()
            .config_file(scratch.path("ebbtide.toml"))
            .without_seeds();
        assert_eq!(provision_report(named).await, report, "{layout}");
    }
}

#[tokio::test]
async fn the_ledgers_have_the_rows_that_the_tools_read() {
    let scratch = Scratch::new();
    write_two(
        &scratch,
        ["0010_a.sql", "0009b.sql"],
        "-- migrate:up",
        "-- migrate:down",
    );
    // The names' order is the other one, so the migrations get names that fit.
    std::fs::rename(
        scratch.path("migrations/0009b.sql"),
        scratch.path("migrations/02_b.sql"),
    )
    .unwrap();
    let query = "select version from schema_migrations order by version";
    assert_eq!(rows(scratch.builder(), query).await, ["0010", "02"]);

    let scratch = Scratch::new();
    write_two(
        &scratch,
        ["1_a.sql", "2_b.sql"],
        "-- +goose Up",
        "-- +goose Down",
    );
    let query = "select concat_ws(' ', id, version_id, is_applied, tstamp <= localtimestamp) \
                 from goose_db_version order by id";
    assert_eq!(
        rows(scratch.builder(), query).await,
        ["1 0 t t", "2 1 t t", "3 2 t t"]
    );

    let scratch = Scratch::new();
    write_two(
        &scratch,
        ["1.sql", "b.sql"],
        "-- +migrate Up",
        "-- +migrate Down",
    );
    let query = "select id || ' ' || (applied_at <= clock_timestamp()) from gorp_migrations \
                 order by applied_at";
    assert_eq!(
        rows(scratch.builder(), query).await,
        ["1.sql true", "b.sql true"]
    );
}

#[tokio::test]
async fn the_latest_version_of_the_files_is_the_ledgers() {
    for (up, down, names, latest) in [
        (
            "-- migrate:up",
            "-- migrate:down",
            ["10_a.sql", "9_b.sql"],
            "9",
        ),
        (
            "-- +goose Up",
            "-- +goose Down",
            ["9_a.sql", "10_b.sql"],
            "10",
        ),
        (
            "-- +migrate Up",
            "-- +migrate Down",
            ["9.sql", "10.sql"],
            "10.sql",
        ),
    ] {
        let scratch = Scratch::new();
        write_two(&scratch, names, up, down);
        let harness = scratch.builder().build().unwrap();
        let health = harness.health().await;
        let expected = health.ledgers[0].expected_latest.as_deref();
        assert_eq!(expected, Some(latest), "{up}");
        let ledger = first_claim(&health);
        assert_eq!(ledger.latest.as_deref(), Some(latest), "{up}");
        assert_eq!(ledger.applied, Some(2), "{up}");
    }
}

#[tokio::test]
async fn a_statement_outside_of_a_transaction_is_committed_alone_in_goose_and_sql_migrate() {
    for (up, down) in [
        ("-- +goose NO TRANSACTION\n-- +goose Up", "-- +goose Down"),
        ("-- +migrate Up notransaction", "-- +migrate Down"),
    ] {
        let scratch = Scratch::new();
        scratch.write(
            "migrations/1_a.sql",
            &format!(
                "{up}\ncreate table a (id int);\ncreate index concurrently a_id on a (id);\n\
                 create index concurrently a_id2 on a (id);\n{down}\ndrop table a;\n"
            ),
        );
        let query = "select indexname::text from pg_indexes where tablename = 'a' order by 1";
        assert_eq!(
            rows(scratch.builder(), query).await,
            ["a_id", "a_id2"],
            "{up}"
        );
    }
}

#[tokio::test]
async fn dbmates_way_up_is_one_message_with_or_without_a_transaction() {
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_a.sql",
        "-- migrate:up\ncreate table a (id int);\n-- migrate:down\ndrop table a;\n",
    );
    scratch.write(
        "migrations/2_b.sql",
        "-- migrate:up transaction:false\ncreate index concurrently a_id on a (id);\n\
         -- migrate:down\ndrop index a_id;\n",
    );
    let query = "select indexname::text from pg_indexes where tablename = 'a'";
    assert_eq!(rows(scratch.builder(), query).await, ["a_id"]);
    // Two statements in one message run in one implicit transaction, with dbmate too.
    scratch.write(
        "migrations/2_b.sql",
        "-- migrate:up transaction:false\nselect 1;\ncreate index concurrently a_id on a (id);\n\
         -- migrate:down\n",
    );
    let error = provision_error(scratch.builder()).await;
    assert_report_contains(
        &error,
        ErrorKind::Migration,
        &["2_b.sql:3:1", "CREATE INDEX CONCURRENTLY cannot"],
    );
}

#[tokio::test]
async fn a_refused_statement_is_located_in_the_file_and_not_in_the_message() {
    for (text, place) in [
        (
            "-- a note\n-- migrate:up\ncreate table a (id int);\nselect 2 / 0;\n-- migrate:down\n",
            "1_a.sql:4:1",
        ),
        (
            "-- +goose Up\r\ncreate table a (id int);\r\n-- of b\r\nselect\r\n  frm;\r\n",
            "1_a.sql:5:3",
        ),
        ("-- +goose Up\nselect 1; select 2 / 0;\n", "1_a.sql:2:11"),
        (
            "-- +migrate Up\r\nselect 1,\r\n-- left out\r\n  frm;\r\n-- +migrate Down\r\n",
            "1_a.sql:4:3",
        ),
    ] {
        let scratch = Scratch::new();
        scratch.write("migrations/1_a.sql", text);
        let error = provision_error(scratch.builder()).await;
        let place = format!("/migrations/{place}: ");
        assert_report_contains(&error, ErrorKind::Migration, &[&place, "migration 1"]);
    }
}

#[tokio::test]
async fn a_file_that_the_tool_refuses_is_refused_with_its_place() {
    for (file, text, place) in [
        (
            "1_a.sql",
            "-- migrate:up\ncreate table a (id int);\n",
            "1_a.sql:1:1",
        ),
        (
            "1_a.sql",
            "-- a\nselect 1;\n-- migrate:up\n-- migrate:down\n",
            "1_a.sql:2:1",
        ),
        (
            "1_a.sql",
            "-- +goose Up\ncreate table a (id int)\n-- +goose Down\n",
            "1_a.sql:2:1",
        ),
        (
            "1_a.sql",
            "-- +goose Up\n-- +goose ENVSUB ON\nselect '${A}';\n",
            "1_a.sql:3:1",
        ),
        (
            "a.sql",
            "-- +migrate Up\ncreate table a (id int)\n",
            "a.sql:2:1",
        ),
        ("a.sql", "-- migrate:up\n-- migrate:down\n", "a.sql:1"),
        ("a.sql", "-- +goose Up\nselect 1;\n", "a.sql:1"),
    ] {
        let scratch = Scratch::new();
        scratch.write(&format!("migrations/{file}"), text);
        let error = provision_error(scratch.builder()).await;
        assert_report_contains(&error, ErrorKind::MigrationSource, &[place]);
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_a.sql", "-- +goose Up\nselect 1;\n");
    scratch.write("migrations/00002_b.go", "package migrations\n");
    scratch.write("migrations/00002_b_test.go", "package migrations\n");
    let error = provision_error(
        scratch
            .builder()
            .migrations(Migrations::goose(scratch.path("migrations"))),
    )
    .await;
    assert_report_contains(
        &error,
        ErrorKind::MigrationSource,
        &["00002_b.go is written in Go", "command"],
    );
}

#[tokio::test]
async fn two_migrations_with_one_version_are_refused_as_the_tools_refuse_them() {
    for (up, down, names) in [
        ("-- migrate:up", "-- migrate:down", ["7_a.sql", "7_b.sql"]),
        ("-- +goose Up", "-- +goose Down", ["7_a.sql", "07_b.sql"]),
    ] {
        let scratch = Scratch::new();
        write_two(&scratch, names, up, down);
        let error = provision_error(scratch.builder()).await;
        let texts = [" both have 7", names[0], names[1]];
        assert_report_contains(&error, ErrorKind::MigrationSource, &texts);
    }
}

#[tokio::test]
async fn what_only_the_way_down_does_is_neither_claimed_nor_dedicated() {
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_a.sql",
        "-- migrate:up\ncreate table a (id int);\n-- migrate:down\ndrop role if exists absent_role;\n\
         create table backup_of_a (id int);\n",
    );
    let harness = scratch.builder().build().unwrap();
    assert_eq!(
        tables(&harness.provision().await.unwrap().provisioned),
        ["a"]
    );
    let reason = harness.start().await.unwrap().reason;
    assert!(!reason.contains("drop role"), "{reason}");
    // The claims are those of the way up, also if the way down drops the table.
    scratch.write(
        "migrations/1_a.sql",
        "-- +goose Up\ncreate table a (id int);\ncommit;\nbegin;\ncreate table b (id int);\n\
         rollback;\nbegin;\n-- +goose Down\ndrop table b;\n",
    );
    let error = provision_error(scratch.builder()).await;
    let texts = ["b (created at ", "1_a.sql:5)"];
    assert_report_contains(&error, ErrorKind::LedgerMismatch, &texts);
}

/// What sql-migrate makes of a directory, and what ebbtide makes of it: the ledger's identifiers and
/// the source of every function.
/// dbmate searches for its table before each statement, in the schema in which it would create it.
#[tokio::test]
async fn dbmates_row_is_written_where_dbmate_searches_for_the_table() {
    let way = |sql: &str| format!("-- migrate:up\n{sql}\n-- migrate:down\n");
    let scratch = Scratch::new();
    let emptied = way("select set_config('search_path', '', false); create table public.a ();");
    scratch.write("migrations/1_a.sql", &emptied);
    scratch.write("migrations/2_b.sql", &way("create table public.b ();"));
    let health = scratch.builder().build().unwrap().health().await;
    assert!(health.is_clean(), "{health}");
    assert_eq!(first_claim(&health).applied, Some(2));
    // dbmate fails here, because its table is not in the first schema of the path.
    let scratch = Scratch::new();
    let moved = way("create schema app; set search_path to app, public; create table a ();");
    scratch.write("migrations/1_a.sql", &moved);
    let error = provision_error(scratch.builder()).await;
    let texts = [
        "the migration ledger schema_migrations",
        "\"app.schema_migrations\" does not exist",
        "1_a.sql:2",
        "reset search_path",
    ];
    assert_report_contains(&error, ErrorKind::Migration, &texts);
}

#[tokio::test]
async fn sql_migrate_itself_makes_the_same_database_and_finds_nothing_pending() {
    // sql-migrate gets the address of a server that needs no password.
    if !runs_natively(this_test!()) {
        return;
    }
    if Command::new("sql-migrate")
        .arg("--version")
        .output()
        .is_err()
    {
        skip("sql-migrate", "there is no sql-migrate in PATH");
        return;
    }
    let scratch = Scratch::new();
    scratch.write(
        "migrations/10_functions.sql",
        "-- +migrate Up\r\n-- +migrate StatementBegin\r\ncreate function f() returns int language plpgsql as $$\r\n\
         begin\r\n  -- left out, because it begins with two dashes and a space\r\n\
         -- this too\r\n--this not\r\n  return (select count(*) from users);\r\nend $$;\r\n\
         -- +migrate StatementEnd\r\n-- +migrate Down\r\ndrop function f();\r\n",
    );
    scratch.write(
        "migrations/9-users.sql",
        "before; is ignored;\n-- +migrate Up\ncreate table users\n-- a comment\n(id serial); \
         -- tail\ninsert into users\n\n  default values ; \n-- +migrate Down\ndrop table users;\n\
         -- +migrate Up\ninsert into users default values; insert into users default values;\n",
    );
    scratch.write(
        "migrations/views.sql",
        "-- +migrate Up notransaction\ncreate view v as select f();\n\
         create index concurrently users_id on users (id);\n\n-- +migrate Down\n-- nothing\n",
    );
    let query = "select id from gorp_migrations union all \
                 select replace(prosrc, chr(10), '|') from pg_proc where proname = 'f' union all \
                 select 'users ' || count(*) from users union all \
                 select column_name || data_type || is_nullable from information_schema.columns \
                 where table_name = 'gorp_migrations' order by 1";
    let theirs = Scratch::new();
    let native = |scratch: &Scratch| scratch.builder().backend(Backend::Native).build().unwrap();
    let ours = native(&scratch).database().await.unwrap();
    let empty = native(&theirs).database().await.unwrap();
    let up = |url: &str| {
        let config = scratch.write(
            "dbconfig.yml",
            &format!(
                "development:\n  dialect: postgres\n  datasource: \"{url}\"\n  dir: {}\n",
                scratch.path("migrations").display()
            ),
        );
        let output = Command::new("sql-migrate")
            .args(["up", "-config"])
            .arg(config)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text.trim().to_owned()
    };
    assert_eq!(up(&key_values(ours.url())), "Applied 0 migrations");
    assert_eq!(up(&key_values(empty.url())), "Applied 3 migrations");
    let mut results = Vec::new();
    for database in [&ours, &empty] {
        let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
        let rows: Vec<String> = sqlx::query_scalar(query).fetch_all(&pool).await.unwrap();
        pool.close().await;
        results.push(rows);
    }
    assert_eq!(results[0], results[1]);
    let order = "select string_agg(id, ' ' order by applied_at) from gorp_migrations";
    assert_eq!(
        rows(scratch.builder(), order).await,
        ["9-users.sql 10_functions.sql views.sql"]
    );
    ours.close().await.unwrap();
    empty.close().await.unwrap();
}

/// The address of a database as Go's driver reads it: it knows no directory in a URL.
fn key_values(url: &str) -> String {
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    let socket = options.get_socket().map(|dir| dir.display().to_string());
    format!(
        "host={} port={} user={} dbname={} sslmode=disable",
        socket.unwrap_or_else(|| options.get_host().to_owned()),
        options.get_port(),
        options.get_username(),
        options.get_database().unwrap()
    )
}
