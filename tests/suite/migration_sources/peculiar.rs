//! Small directories with what directories of real projects have.

use std::path::Path;

use ebbtide::ErrorKind;
use ebbtide::config::Migrations;
use sqlx::migrate::Migrator;

use crate::support::Scratch;
use crate::support::reports::{assert_report_contains, provision_error, provision_report};

/// A directory's files, the versions in the order in which they run, and the tables afterwards.
struct Case<'a> {
    files: &'a [(&'a str, &'a str)],
    versions: &'a [&'a str],
    tables: &'a [&'a str],
    not_applied: &'a [&'a str],
}

const CASES: &[Case<'static>] = &[
    // sqlx: a file with its own transaction, and a version with leading zeros.
    Case {
        files: &[
            ("0009_a.sql", "begin;\ncreate table a (id int);\ncommit;\n"),
            ("10_b.sql", "create table b (id int);"),
            ("README.md", "how to migrate"),
        ],
        versions: &["9", "10"],
        tables: &["a", "b"],
        not_applied: &[],
    },
    // diesel: the set-up that its command line creates, and a version that is one digit longer.
    Case {
        files: &[
            (
                "00000000000000_diesel_initial_setup/up.sql",
                "create table a (id int);",
            ),
            (
                "00000000000000_diesel_initial_setup/down.sql",
                "drop table a;",
            ),
            ("000000000000000_first/up.sql", "alter table a rename to b;"),
            ("2019-02-26-002946_user/up.sql", "create table c (id int);"),
            ("2019-02-26-002946_user/notes.txt", "a note"),
            ("20190227000000_unfinished/down.sql", "drop table c;"),
        ],
        versions: &["00000000000000", "000000000000000", "20190226002946"],
        tables: &["b", "c"],
        not_applied: &["20190227000000_unfinished/"],
    },
    // refinery: versions with ten and with leading zeros, in subdirectories.
    Case {
        files: &[
            ("V10__b.sql", "alter table a rename to b;"),
            ("2020/V02__a.sql", "create table a (id int);"),
            ("mod.rs", "refinery::embed_migrations!();"),
        ],
        versions: &["2", "10"],
        tables: &["b"],
        not_applied: &[],
    },
    // dbmate: a header of comments, options on both lines, and a search path for one file.
    Case {
        files: &[
            (
                "20240101000000_a.sql",
                "-- Copyright\n--\n\n-- migrate:up transaction:false\ncreate schema app;\n\
                 -- migrate:down transaction:false\ndrop schema app;\n",
            ),
            (
                "20240102000000-b.sql",
                "-- migrate:up\n\n-- the table\ncreate table app.b (id int);\n\n-- migrate:down\n",
            ),
        ],
        versions: &["20240101000000", "20240102000000"],
        tables: &["app.b"],
        not_applied: &[],
    },
    // goose: the template's own statements, blocks beside plain statements, an option before Up,
    // numbers of several widths, and no way down.
    Case {
        files: &[
            (
                "0009_a.sql",
                "-- +goose Up\n-- +goose StatementBegin\nselect 'up SQL query';\n\
                 -- +goose StatementEnd\n\n    create table a (\n        id int\n    );\n\
                 -- +goose Down\n    drop table a;\n-- +goose StatementBegin\n\
                 select 'down SQL query';\n-- +goose StatementEnd\n",
            ),
            (
                "00010_b.sql",
                "-- +goose NO TRANSACTION\n-- +goose Up\n-- +goose StatementBegin\n\
                 create index concurrently a_id on a (id);\n-- +goose StatementEnd\n\
                 -- +goose StatementBegin\ncreate index concurrently a_id2 on a (id);\n\
                 -- +goose StatementEnd\n",
            ),
            ("embed.go", "package migrations"),
        ],
        versions: &["9", "10"],
        tables: &["a"],
        not_applied: &[],
    },
    // sql-migrate: a header of another kind of comment, and one number for several files.
    Case {
        files: &[
            (
                "5-a-1.sql",
                "/* Copyright\n * ..\n */\n-- +migrate Up\ncreate table a (id int);\n",
            ),
            (
                "5-a-2.sql",
                "-- +migrate Up\nalter table a rename to b;\n\n-- +migrate Down\n",
            ),
            (
                "5-a.sql",
                "\n-- +migrate Up notransaction\nset lock_timeout = '2s';\n\
                 alter table b rename to c;\n\n-- +migrate Down\nalter table c rename to b;\n",
            ),
        ],
        versions: &["5-a-1.sql", "5-a-2.sql", "5-a.sql"],
        tables: &["c"],
        not_applied: &[],
    },
    // Plain SQL: a time with dots as the name, and a directory with the ways down.
    Case {
        files: &[
            ("2021.08.16T17.02.53.a.sql", "create table a (id int);"),
            ("2021.08.18T09.31.24.b.sql", "alter table a rename to b;"),
            (
                "down/2021.08.18T09.31.24.b.sql",
                "alter table b rename to a;",
            ),
        ],
        versions: &["2021.08.16T17.02.53.a.sql", "2021.08.18T09.31.24.b.sql"],
        tables: &["b"],
        not_applied: &["down/"],
    },
    // golang-migrate: a point in the name, and a way down without a way up.
    Case {
        files: &[
            ("000056_channels_v6.0.up.sql", "create table a (id int);"),
            ("000056_channels_v6.0.down.sql", "drop table a;"),
            ("000057_roles.down.sql", "drop table a;"),
        ],
        versions: &["56"],
        tables: &["a"],
        not_applied: &[],
    },
];

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
