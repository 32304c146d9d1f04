//! The output of `pg_dump` for the five systems, loaded again.

use std::path::Path;

use ebbtide::{Database, ErrorKind, Harness};

use super::{ROLES, dump, harness, needs_psql};
use crate::support::Scratch;
use crate::support::difference::difference;
use crate::support::pg_dump::{pg_dump, server_program};
use crate::support::skip::print_uncaptured;

/// The data without the ledgers, which the migrations fill.
const DATA_ONLY: [&str; 3] = [
    "--data-only",
    "--exclude-table=_sqlx_migrations",
    "--exclude-table=alembic_version",
];

/// The five systems, each with the directory of its migrations.
const SYSTEMS: [(&str, &str); 5] = [
    ("salon", "migrations"),
    ("archivist", "examples/archivist/migrations"),
    ("drift", "examples/drift/migrations"),
    ("tickets", "examples/tickets/migrations"),
    ("techstore", "examples/techstore/migrations"),
];

#[tokio::test]
async fn a_dump_of_each_system_makes_the_same_database_in_every_role() {
    needs_psql!();
    for (system, migrations) in SYSTEMS {
        let Some(original) = original(system, migrations).await else {
            continue;
        };
        let expected = dump(&original).await;
        for options in [
            &[][..],
            &["--inserts"],
            &["--column-inserts", "--rows-per-insert=3"],
        ] {
            let text = file_of(&original, options).await;
            for role in ROLES {
                let scratch = Scratch::new();
                let loaded = harness(&scratch, role, &[&text]).database().await;
                let loaded = loaded.unwrap_or_else(|error| panic!("{system}, {role:?}: {error:?}"));
                let found = dump(&loaded).await;
                let difference = difference(&expected, &found);
                assert!(
                    found == expected,
                    "{system}, {role:?}, {options:?}: {difference}"
                );
                loaded.close().await.unwrap();
            }
        }
        original.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_data_of_a_dump_are_a_seed_for_the_same_migrations() {
    needs_psql!();
    for (system, migrations) in SYSTEMS {
        let Some(original) = original(system, migrations).await else {
            continue;
        };
        let text = file_of(&original, &DATA_ONLY).await;
        let expected = dump_of_data(&original).await;
        let scratch = Scratch::new();
        scratch.write("seeds/0.sql", &text);
        let builder = builder(system, migrations).seeds(scratch.path("seeds"));
        let loaded = builder.build().unwrap().database().await.unwrap();
        assert_eq!(dump_of_data(&loaded).await, expected, "{system}");
        loaded.close().await.unwrap();
        original.close().await.unwrap();
    }
}

/// A system's database with its seeds; `None` if the server lacks one of its extensions.
async fn original(system: &str, migrations: &str) -> Option<Database> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(migrations)
        .with_file_name("seeds");
    let harness = builder(system, migrations).seeds(seeds).build().unwrap();
    match harness.database().await {
        Err(error) if error.kind() == ErrorKind::ExtensionUnavailable => {
            print_uncaptured(&format!("left out: {system}: {error}"));
            None
        }
        other => Some(other.unwrap()),
    }
}

fn builder(system: &str, migrations: &str) -> ebbtide::config::Builder {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Harness::builder()
        .config_file(root.join("examples").join(system).join("ebbtide.toml"))
        .migrations(root.join(migrations))
}

async fn dump_of_data(database: &Database) -> String {
    let options = [&DATA_ONLY[..], &["--exclude-schema=_ebbtide"]].concat();
    pg_dump(database, &options).await
}

/// A dump as `pg_dump` writes it into a file, with all its commands for psql.
async fn file_of(database: &Database, options: &[&str]) -> String {
    let mut command = server_program(database, "pg_dump").await;
    command.args(options);
    command.args(["--exclude-schema=_ebbtide", "--dbname", database.url()]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
