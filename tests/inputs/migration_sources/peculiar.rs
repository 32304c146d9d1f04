//! Small directories with what directories of real projects have.

mod cases;

use std::path::Path;

use ebbtide::ErrorKind;
use ebbtide::config::Migrations;
use sqlx::migrate::Migrator;

use crate::support::Scratch;
use crate::support::reports::{assert_report_contains, provision_error, provision_report};

use cases::CASES;

#[tokio::test]
async fn directories_like_those_of_real_projects_come_out_right() {
    for case in CASES {
        let scratch = Scratch::new();
        for (file, text) in case.files {
            scratch.write(&format!("migrations/{file}"), text);
        }
        let report = provision_report(scratch.builder()).await;
        let versions: Vec<&str> = report
            .migrations
            .iter()
            .filter_map(|migration| migration.version.as_deref())
            .collect();
        assert_eq!(versions, case.versions, "{:?}", case.files);
        let tables: Vec<&str> = report.rows.keys().map(String::as_str).collect();
        assert_eq!(tables, case.tables, "{:?}", case.files);
        assert_eq!(report.not_applied, case.not_applied, "{:?}", case.files);
    }
}

/// Files that their project applies in another way than by the names, such as SQL with placeholders.
#[tokio::test]
async fn files_for_a_program_of_the_project_are_refused_with_the_reason() {
    let up = "-- migrate:up\ncreate table a (id int);\n-- migrate:down\n";
    let concurrently = "-- morph:nontransactional\ncreate index concurrently i on a (id);";
    for (files, kind, texts) in [
        (
            &[("000001.sql", "create table :own.a (id int);")][..],
            ErrorKind::Migration,
            &["000001.sql:1", "the variable own of psql has no value"],
        ),
        (
            &[("20240101_a.sql", up), ("schema.sql", "create table a ();")],
            ErrorKind::MigrationSource,
            &["mixes several", "schema.sql"],
        ),
        (
            &[
                ("000001_a.up.sql", "create table a (id int);"),
                ("000002_b.up.sql", concurrently),
            ],
            ErrorKind::Migration,
            &["000002_b.up.sql:2", "first line `-- no-transaction`"],
        ),
    ] {
        let scratch = Scratch::new();
        for (file, text) in files {
            scratch.write(&format!("migrations/{file}"), text);
        }
        let error = provision_error(scratch.builder()).await;
        assert_report_contains(&error, kind, texts);
    }
}

/// sqlx skips a name with a dash instead of the underscore, and applies what is beside it.
#[tokio::test]
async fn a_way_up_that_sqlx_skips_is_reported() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_a.up.sql", "create table a (id int);");
    scratch.write("migrations/22-b.up.sql", "alter table a rename to b;");
    scratch.write("migrations/22_b.down.sql", "alter table b rename to a;");
    let error = provision_error(scratch.builder()).await;
    let texts = ["plain SQL: 22-b.up.sql", "{ sqlx = "];
    assert_report_contains(&error, ErrorKind::MigrationSource, &texts);
    let builder = scratch
        .builder()
        .migrations(Migrations::sqlx(scratch.path("migrations")));
    let report = provision_report(builder).await;
    assert_eq!(report.not_applied, ["22-b.up.sql"]);
    assert_eq!(report.rows.keys().collect::<Vec<_>>(), ["a"]);
}

/// sqlx's own runner agrees about the directories that have its names.
#[tokio::test]
async fn sqlx_finds_nothing_pending_in_its_directories() {
    for case in CASES.iter().filter(|case| case.versions[0].len() < 4) {
        let is_sqlx = |(file, _): &&(&str, &str)| !file.contains('/') && !file.starts_with('V');
        let is_marked = case.files.iter().any(|(_, text)| text.contains("-- +"));
        if is_marked || !case.files.iter().all(|file| is_sqlx(&file)) {
            continue;
        }
        let scratch = Scratch::new();
        for (file, text) in case.files {
            scratch.write(&format!("migrations/{file}"), text);
        }
        let migrations = scratch.path("migrations");
        let builder = scratch.builder().migrations(Migrations::sqlx(&migrations));
        let database = builder.build().unwrap().database().await.unwrap();
        let before = applied(database.url()).await;
        run_sqlx(&migrations, database.url()).await;
        assert_eq!(applied(database.url()).await, before, "{:?}", case.files);
        database.close().await.unwrap();
    }
}

async fn run_sqlx(migrations: &Path, url: &str) {
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    Migrator::new(migrations)
        .await
        .unwrap()
        .run(&pool)
        .await
        .unwrap();
    pool.close().await;
}

/// The versions in sqlx's ledger, with the time at which each was applied.
async fn applied(url: &str) -> Vec<String> {
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    let query = "select version || ' ' || installed_on from _sqlx_migrations order by version";
    let rows = sqlx::query_scalar(query).fetch_all(&pool).await.unwrap();
    pool.close().await;
    rows
}
