//! Characters in migration files that an editor does not show.

use std::path::Path;

use ebbtide::ErrorKind;
use ebbtide::config::Migrations;
use sqlx::migrate::Migrator;

use crate::support::Scratch;
use crate::support::reports::{assert_report_contains, provision_error, provision_report};

const USERS: &str = "create table users (id int);\n";

/// The tools send a byte order mark, and the server refuses it. psql removes it.
#[tokio::test]
async fn a_byte_order_mark_fails_as_with_the_tool_and_is_named() {
    for (file, text) in [
        ("1_users.sql", USERS.to_owned()),
        ("V1__users.sql", USERS.to_owned()),
        ("1_users/up.sql", USERS.to_owned()),
        (
            "1_users.sql",
            format!("-- migrate:up\n{USERS}-- migrate:down\n"),
        ),
        ("1_users.sql", format!("-- +goose Up\n{USERS}")),
        ("1_users.sql", format!("-- +migrate Up\n{USERS}")),
    ] {
        let scratch = Scratch::new();
        scratch.write(&format!("migrations/{file}"), &format!("\u{feff}{text}"));
        let error = provision_error(scratch.builder()).await;
        let place = format!("/migrations/{file}:1:1 has a byte order mark (U+FEFF)");
        assert_report_contains(
            &error,
            ErrorKind::MigrationSource,
            &[&place, "without a byte order mark"],
        );
        if file == "1_users.sql" && text == USERS {
            assert_sqlx_fails(&scratch.path("migrations")).await;
        }
    }
    let scratch = Scratch::new();
    scratch.write("migrations/users.sql", &format!("\u{feff}{USERS}"));
    let report = provision_report(scratch.builder()).await;
    assert_eq!(report.rows.keys().collect::<Vec<_>>(), ["users"]);
}

/// sqlx's own runner fails on these migrations, in an empty database.
async fn assert_sqlx_fails(migrations: &Path) {
    let scratch = Scratch::new();
    let database = scratch.builder().build().unwrap().database().await.unwrap();
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let error = Migrator::new(migrations)
        .await
        .unwrap()
        .run(&pool)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("syntax error"), "{error}");
    pool.close().await;
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_character_that_looks_like_a_space_is_named_with_its_place() {
    for (character, name) in [
        ('\u{a0}', "a no-break space (U+00A0)"),
        ('\u{200b}', "a zero width space (U+200B)"),
        ('\u{3000}', "an ideographic space (U+3000)"),
        ('\u{2009}', "the character U+2009"),
        ('\u{ad}', "a soft hyphen (U+00AD)"),
    ] {
        let scratch = Scratch::new();
        scratch.write(
            "migrations/1_users.sql",
            &format!("select '{character}';\ncreate table users\n  (id{character}int);\n"),
        );
        let error = provision_error(scratch.builder()).await;
        let place = format!(
            "delete {name} at {}:3:6",
            scratch.path("migrations/1_users.sql").display()
        );
        assert_report_contains(&error, ErrorKind::Migration, &[&place, "syntax error"]);
        assert_sqlx_fails(&scratch.path("migrations")).await;
    }
}

#[tokio::test]
async fn bytes_that_postgresql_cannot_store_are_named_with_their_place() {
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    for (bytes, texts) in [
        (
            b"select 1;\nselect '\0';\n".to_vec(),
            ["1_users.sql:2:9 has a NUL (U+0000)", "delete the character"],
        ),
        (
            utf16(&format!("\u{feff}{USERS}")),
            [
                "is not UTF-8, but seems to be UTF-16",
                "with UTF-8 encoding",
            ],
        ),
        (
            utf16(USERS),
            [
                "is not UTF-8, but seems to be UTF-16",
                "with UTF-8 encoding",
            ],
        ),
        (
            b"select 1;\nselect 'M\xfcller';\n".to_vec(),
            ["byte 0xfc at line 2, column 10", "with UTF-8 encoding"],
        ),
    ] {
        for layout in [Migrations::sqlx as fn(_) -> _, Migrations::sql] {
            let scratch = Scratch::new();
            let path = scratch.write("migrations/1_users.sql", "");
            std::fs::write(path, &bytes).unwrap();
            let builder = scratch
                .builder()
                .migrations(layout(scratch.path("migrations")));
            let error = provision_error(builder).await;
            assert_report_contains(&error, ErrorKind::MigrationSource, &texts);
        }
    }
}
