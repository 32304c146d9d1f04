//! Directories of tools that ebbtide does not imitate. Without a check it would execute both ways of
//! their files, or the files in another order, and report success.

use ebbtide::ErrorKind;
use ebbtide::config::Migrations;

use crate::support::Scratch;
use crate::support::reports::{assert_report_contains, provision_error, provision_report};

const UP: &str = "create table users (id int);\n";
const DOWN: &str = "drop table users;\n";

/// A directory's files, and the texts of the error when its layout is to be recognised.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

/// Directories that their files' names show, but for those with a file for each way.
const BY_NAMES: &[Case<'static>] = &[
    (
        &[
            ("db.changelog-master.yaml", "databaseChangeLog:\n"),
            ("a.sql", UP),
        ],
        &["belongs to Liquibase"],
    ),
    (
        &[("001.do.users.sql", UP), ("001.undo.users.sql", DOWN)],
        &["belongs to Postgrator"],
    ),
    (
        &[
            ("V1__a.sql", UP),
            ("R__views.sql", "create view v as select 1;\n"),
        ],
        &[
            "belongs to Flyway",
            "R__views.sql",
            r#"["flyway", "migrate"]"#,
        ],
    ),
    (
        &[("V1.2__a.sql", UP), ("V1.10__b.sql", DOWN)],
        &["belongs to Flyway"],
    ),
    (&[("B2__all.sql", UP)], &["belongs to Flyway"]),
    (
        &[
            ("20260101_a/migration.sql", UP),
            ("migration_lock.toml", ""),
        ],
        &["belongs to Prisma", r#"["prisma", "migrate", "deploy"]"#],
    ),
    (
        &[
            ("20260101_a/migration.sql", UP),
            ("20260101_a/snapshot.json", "{}"),
        ],
        &["belongs to drizzle"],
    ),
    (
        &[
            ("0000_a.sql", UP),
            ("0001_b.sql", ""),
            (
                "meta/_journal.json",
                r#"{"entries":[{"tag":"0001_b"},{"tag":"0000_a"}]}"#,
            ),
        ],
        &["belongs to drizzle", "meta/_journal.json"],
    ),
    (
        &[
            ("sqitch.plan", "%project=a\n"),
            ("deploy/a.sql", UP),
            ("revert/a.sql", DOWN),
        ],
        &["belongs to Sqitch", r#"["sqitch", "deploy"]"#],
    ),
    (
        &[("committed/000001.sql", UP), ("current.sql", "select 1;\n")],
        &["belongs to graphile-migrate", "committed"],
    ),
];

/// Directories with a file for each way.
const BY_PAIRS: &[Case<'static>] = &[
    (
        &[("a-up.sql", UP), ("a-down.sql", DOWN)],
        &["db-migrate", "a-down.sql beside a-up.sql"],
    ),
    (
        &[
            ("001_a_up.sql", UP),
            ("002_b_up.sql", UP),
            ("002_b_down.sql", DOWN),
        ],
        &["a file for each way", "002_b_down.sql"],
    ),
    (
        &[("1-a.up.sql", UP), ("1-a.down.sql", DOWN)],
        &[
            "golang-migrate, Migratus or sqlx",
            "1-a.down.sql beside 1-a.up.sql",
        ],
    ),
    (
        &[("0001.a.sql", UP), ("0001.a.rollback.sql", DOWN)],
        &["yoyo", r#"["yoyo", "apply"]"#],
    ),
    (
        &[("0001_a.sql", UP), ("0001_a.rollback.sql", DOWN)],
        &["yoyo"],
    ),
    (
        &[("a.sql", UP), ("a.undo.sql", DOWN)],
        &["a file for each way"],
    ),
    (
        &[("V1__a.sql", UP), ("U1__a.sql", DOWN)],
        &["U1__a.sql beside V1__a.sql", "Flyway"],
    ),
];

/// Asserts that the directory is refused, if its layout is to be recognised.
async fn assert_refused((files, texts): Case<'_>) {
    let scratch = Scratch::new();
    for (file, text) in files {
        scratch.write(&format!("migrations/{file}"), text);
    }
    let error = provision_error(scratch.builder()).await;
    assert_report_contains(&error, ErrorKind::MigrationSource, texts);
}

#[tokio::test]
async fn a_directory_that_names_show_to_be_another_tools_is_refused_with_the_remedy() {
    for case in BY_NAMES.iter().chain(BY_PAIRS) {
        assert_refused(*case).await;
    }
}

#[tokio::test]
async fn a_file_with_the_lines_of_another_tool_is_refused_with_the_remedy() {
    for (file, text, texts) in [
        (
            "20260101_a.sql",
            format!("-- +micrate Up\n{UP}-- +micrate Down\n{DOWN}"),
            ["belongs to micrate", r#"["micrate", "up"]"#],
        ),
        (
            "01_a.sql",
            format!("-- rambler up\n{UP}-- rambler down\n{DOWN}"),
            ["belongs to rambler", "01_a.sql:1"],
        ),
        (
            "1_a.sql",
            format!("-- ==== UP ====\n{UP}-- ==== DOWN ====\n{DOWN}"),
            ["belongs to shmig", "1_a.sql:1"],
        ),
        (
            "1_a.sql",
            format!("-- Up\n{UP}-- Down\n{DOWN}"),
            [
                "belongs to a tool with the lines `-- Up`",
                "MigrationCommand",
            ],
        ),
        (
            "1_a.sql",
            format!("-- Up Migration\n{UP}-- Down Migration\n{DOWN}"),
            ["belongs to node-pg-migrate", "1_a.sql:1"],
        ),
        (
            "001_a.sql",
            format!("{UP}---- create above / drop below ----\n{DOWN}"),
            ["belongs to tern", "001_a.sql:2"],
        ),
        (
            "20260101_a.sql",
            format!("-- // users\n{UP}-- //@UNDO\n{DOWN}"),
            ["belongs to MyBatis Migrations", "20260101_a.sql:3"],
        ),
        (
            "1.sql",
            format!("-- !Ups\n{UP}-- !Downs\n{DOWN}"),
            ["belongs to Play evolutions", "MigrationCommand"],
        ),
        (
            "1.sql",
            format!("# --- !Ups\n{UP}# --- !Downs\n{DOWN}"),
            ["belongs to Play evolutions", "1.sql:1"],
        ),
        (
            "a.sql",
            format!("--liquibase formatted sql\n--changeset a:1\n{UP}--rollback {DOWN}"),
            ["belongs to Liquibase", r#"["liquibase", "update"]"#],
        ),
        (
            "2_b.sql",
            format!("-- atlas:checkpoint\n{UP}"),
            ["belongs to Atlas (with a checkpoint)", "2_b.sql:1"],
        ),
    ] {
        assert_refused((&[(file, &text)], &texts)).await;
    }
}

/// A line divides a file only if statements of a way down follow it.
#[tokio::test]
async fn a_comment_with_the_words_of_another_tool_refuses_nothing() {
    let commented = format!("{UP}-- Down\n-- {DOWN}");
    let headed = format!("-- Up\n{UP}");
    let (up, down) = (UP.to_owned(), format!("-- Down migration\n{DOWN}"));
    for (files, named) in [
        (
            &[("1_a.sql", &commented)][..],
            Migrations::sqlx as fn(_) -> _,
        ),
        (&[("1_a.sql", &commented)], Migrations::sql),
        (&[("1_a.sql", &headed)], Migrations::sqlx),
        (
            &[("1_a.up.sql", &up), ("1_a.down.sql", &down)],
            Migrations::sqlx,
        ),
        (
            &[("1_a/up.sql", &up), ("1_a/down.sql", &down)],
            Migrations::diesel,
        ),
    ] {
        let scratch = Scratch::new();
        for (file, text) in files {
            scratch.write(&format!("migrations/{file}"), text);
        }
        let named = named(scratch.path("migrations"));
        for builder in [scratch.builder(), scratch.builder().migrations(named)] {
            let report = provision_report(builder).await;
            assert_eq!(
                report.rows.keys().collect::<Vec<_>>(),
                ["users"],
                "{files:?}"
            );
        }
    }
    // The statements of a way down are refused, and the remedy is not a layout that refuses them.
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_a.sql",
        &format!("{UP}-- Down Migration\n{DOWN}"),
    );
    let error = provision_error(scratch.builder()).await;
    let help = error.help().unwrap();
    assert!(
        help.contains("write the line or the name differently") && !help.contains("sql = "),
        "{help}"
    );
    let sql = Migrations::sql(scratch.path("migrations"));
    let error = provision_error(scratch.builder().migrations(sql)).await;
    let texts = [
        "only the way up of a migration may run",
        "1_a.sql:2",
        "differently",
    ];
    assert_report_contains(&error, ErrorKind::MigrationSource, &texts);
}

/// With a named layout, only what would execute a way down is refused.
#[tokio::test]
async fn a_wrongly_named_layout_never_executes_a_way_down() {
    let with_lines = [
        format!("-- migrate:up\n{UP}-- migrate:down\n{DOWN}"),
        format!("-- +goose Up\n{UP}-- +goose Down\n{DOWN}"),
        format!("-- +migrate Up\n{UP}-- +migrate Down\n{DOWN}"),
        format!("{UP}---- create above / drop below ----\n{DOWN}"),
    ];
    for text in &with_lines {
        for (file, named) in [
            ("1_a.sql", Migrations::sqlx as fn(_) -> _),
            ("1_a.sql", Migrations::sql),
            ("V1__a.sql", Migrations::refinery),
            ("1_a/up.sql", Migrations::diesel),
        ] {
            let scratch = Scratch::new();
            scratch.write(&format!("migrations/{file}"), text);
            let builder = scratch
                .builder()
                .migrations(named(scratch.path("migrations")));
            let error = provision_error(builder).await;
            let texts = ["only the way up of a migration may run", "command = ["];
            assert_report_contains(&error, ErrorKind::MigrationSource, &texts);
        }
    }
    // Plain SQL applies such a name, and `#` begins no comment.
    let play = format!("# --- !Ups\n{UP}# --- !Downs\n{DOWN}");
    for (file, text) in [("1_a.down.sql", &with_lines[3]), ("1_a.sql", &play)] {
        let scratch = Scratch::new();
        scratch.write(&format!("migrations/{file}"), text);
        let sql = Migrations::sql(scratch.path("migrations"));
        let error = provision_error(scratch.builder().migrations(sql)).await;
        let texts = ["only the way up of a migration may run"];
        assert_report_contains(&error, ErrorKind::MigrationSource, &texts);
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_a.sql", &with_lines[0]);
    let builder = scratch
        .builder()
        .migrations(Migrations::goose(scratch.path("migrations")));
    let error = provision_error(builder).await;
    assert_report_contains(&error, ErrorKind::MigrationSource, &["dbmate"]);
    let scratch = Scratch::new();
    scratch.write("migrations/1_a.up.sql", UP);
    scratch.write("migrations/1_a.down.sql", DOWN);
    let builder = scratch
        .builder()
        .migrations(Migrations::sql(scratch.path("migrations")));
    let error = provision_error(builder).await;
    assert_report_contains(&error, ErrorKind::MigrationSource, &["1_a.down.sql beside"]);
}

#[tokio::test]
async fn directories_whose_files_run_in_the_order_of_their_names_come_out_right() {
    let journal = r#"{"entries":[{"idx":0,"tag":"0000_a"},{"idx":1,"tag":"0001_b"}]}"#;
    let directories: [&[(&str, &str)]; 7] = [
        // golang-migrate: the names are sqlx's.
        &[("000001_a.up.sql", UP), ("000001_a.down.sql", DOWN)],
        // drizzle: the journal agrees with the names.
        &[
            (
                "0000_a.sql",
                "create table users (id int);\n--> statement-breakpoint\nselect 1;\n",
            ),
            ("0001_b.sql", "select 1;\n"),
            ("meta/_journal.json", journal),
        ],
        // Atlas and Supabase.
        &[("20260101000000_a.sql", UP), ("atlas.sum", "h1:\n")],
        // Hasura: the directories are diesel's.
        &[
            ("1600000000000_a/up.sql", UP),
            ("1600000000000_a/down.sql", DOWN),
        ],
        // graphile-migrate's committed migrations.
        &[(
            "000001.sql",
            "--! Previous: -\n--! Hash: sha1:0\n\ncreate table users (id int);\n",
        )],
        // Flyway's simplest names are refinery's.
        &[("V1__a.sql", UP), ("V2__b.sql", "select 1;\n")],
        // A down migration that is only mentioned.
        &[(
            "1_a.sql",
            "-- see the down migration\ncreate table users (id int);\n",
        )],
    ];
    for files in directories {
        let scratch = Scratch::new();
        for (file, text) in files {
            scratch.write(&format!("migrations/{file}"), text);
        }
        let report = provision_report(scratch.builder()).await;
        assert_eq!(
            report.rows.keys().collect::<Vec<_>>(),
            ["users"],
            "{files:?}"
        );
        assert!(report.not_applied.is_empty(), "{:?}", report.not_applied);
    }
}

#[tokio::test]
async fn entries_that_look_like_migrations_are_reported_and_not_applied() {
    // Each of these would fail the build if ebbtide executed or scanned it.
    let broken = "create table strange (id int); no sql";
    for (named, own) in [
        (Migrations::sqlx as fn(_) -> _, "1_a.sql"),
        (Migrations::sql, "1_a.sql"),
        (Migrations::refinery, "V1__a.sql"),
        (Migrations::diesel, "1_a/up.sql"),
    ] {
        let scratch = Scratch::new();
        scratch.write(&format!("migrations/{own}"), UP);
        let strays = [
            "2_b.SQL",
            "2_b.sql.bak",
            "2_b.sql~",
            ".2_b.sql.swp",
            "old/2_b.sql",
            "3_c.js",
        ];
        for name in strays {
            scratch.write(&format!("migrations/{name}"), broken);
        }
        for name in [
            "README.md",
            ".gitkeep",
            "notes.txt",
            "schema.rb",
            "docs/notes.txt",
        ] {
            scratch.write(&format!("migrations/{name}"), broken);
        }
        let builder = scratch
            .builder()
            .migrations(named(scratch.path("migrations")));
        let report = provision_report(builder).await;
        assert_eq!(report.rows.keys().collect::<Vec<_>>(), ["users"], "{own}");
        assert_eq!(
            report.not_applied,
            [
                ".2_b.sql.swp",
                "2_b.SQL",
                "2_b.sql.bak",
                "2_b.sql~",
                "3_c.js",
                "old/"
            ],
            "{own}"
        );
    }
    // sqlx skips names without an underscore.
    let scratch = Scratch::new();
    scratch.write("migrations/1_a.sql", UP);
    scratch.write("migrations/schema.sql", broken);
    scratch.write("migrations/3-add.sql", broken);
    let builder = scratch
        .builder()
        .migrations(Migrations::sqlx(scratch.path("migrations")));
    let report = provision_report(builder).await;
    assert_eq!(report.not_applied, ["3-add.sql", "schema.sql"]);
}
