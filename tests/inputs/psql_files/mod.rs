//! SQL files for psql as seeds, plain migrations and fixtures: what they make equals what psql
//! makes of them.

mod commands;
mod data;
mod dumps;
mod in_migrations;
mod refused;
mod sessions;
mod statements;
mod transactions;

use std::process::Output;

use ebbtide::config::{Builder, Migrations};
use ebbtide::{Database, ErrorKind, Harness, Setup};

use crate::support::Scratch;
use crate::support::difference::difference;
use crate::support::pg_dump::{pg_dump, server_program};

/// A role in which a file is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Seed,
    Plain,
    Fixture,
}

const ROLES: [Role; 3] = [Role::Seed, Role::Plain, Role::Fixture];

/// The kind of the errors of a role's files.
fn error_kind(role: Role) -> ErrorKind {
    match role {
        Role::Seed | Role::Fixture => ErrorKind::Seed,
        Role::Plain => ErrorKind::Migration,
    }
}

/// A harness that applies the files, in their order, to an empty database.
fn harness(scratch: &Scratch, role: Role, files: &[&str]) -> Harness {
    let builder = builder(scratch, role, files);
    let harness = builder.build().unwrap();
    if role != Role::Fixture {
        return harness;
    }
    let named = files.iter().enumerate();
    let setup = named.fold(Setup::new(), |setup, (number, text)| {
        setup.fixture(&format!("fixtures/{number:03}.sql"), text)
    });
    harness.with_setup(setup)
}

/// The builder of [`harness`]. Fixtures are left to the caller.
fn builder(scratch: &Scratch, role: Role, files: &[&str]) -> Builder {
    let dir = match role {
        Role::Seed => "seeds",
        Role::Plain => "migrations",
        Role::Fixture => return scratch.builder(),
    };
    for (number, text) in files.iter().enumerate() {
        scratch.write(&format!("{dir}/{number:03}.sql"), text);
    }
    let builder = scratch.builder();
    match role {
        Role::Plain => builder.migrations(Migrations::sql(scratch.path("migrations"))),
        Role::Seed | Role::Fixture => builder,
    }
}

/// Asserts that ebbtide makes the same of the files in every role as psql, which executes each file
/// in a session of its own.
async fn assert_as_psql(files: &[&str]) {
    let scratch = Scratch::new();
    let empty = empty(&scratch).await;
    for text in files {
        let output = psql(&scratch, &empty, text).await;
        let report = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}: {report}");
    }
    let expected = dump(&empty).await;
    empty.close().await.unwrap();
    for role in ROLES {
        let scratch = Scratch::new();
        let database = harness(&scratch, role, files).database().await;
        let database = database.unwrap_or_else(|error| panic!("{role:?}, {files:?}: {error:?}"));
        let found = dump(&database).await;
        let difference = difference(&expected, &found);
        assert!(found == expected, "{role:?}, {files:?}: {difference}");
        database.close().await.unwrap();
    }
}

/// Asserts that ebbtide makes the same as psql of each text, which is a file of its own after
/// `table`. Each has a schema of its own, so that one database is enough.
async fn assert_each_as_psql(table: &str, texts: &[&str]) {
    let files = texts.iter().enumerate().map(|(number, text)| {
        let (mark, text) = match text.strip_prefix('\u{feff}') {
            Some(text) => ("\u{feff}", text),
            None => ("", *text),
        };
        format!("{mark}create schema c{number}; set search_path = c{number};\n{table}{text}\n")
    });
    let files: Vec<String> = files.collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    assert_as_psql(&files).await;
}

/// An empty database.
async fn empty(scratch: &Scratch) -> Database {
    let harness = Harness::builder()
        .config_file(scratch.path("ebbtide.toml"))
        .without_migrations()
        .without_seeds();
    harness.build().unwrap().database().await.unwrap()
}

/// The output of psql for a file, which stops at the first error.
async fn psql(scratch: &Scratch, database: &Database, text: &str) -> Output {
    let file = scratch.write("psql.sql", text);
    let mut psql = server_program(database, "psql").await;
    psql.args([
        "--no-psqlrc",
        "--quiet",
        "--set",
        "ON_ERROR_STOP=on",
        "--file",
    ])
    .arg(file)
    .arg(database.url());
    psql.output().unwrap()
}

/// Schema and data as `pg_dump` prints them.
async fn dump(database: &Database) -> String {
    pg_dump(database, &["--exclude-schema=_ebbtide"]).await
}

/// Whether the server's programs can be run: only natively they belong to the server.
macro_rules! needs_psql {
    () => {
        if !$crate::support::runs_natively($crate::support::this_test!()) {
            return;
        }
    };
}
use needs_psql;
