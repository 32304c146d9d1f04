//! The output of `pg_dump` for the five systems, loaded again.

use ebbtide::{Database, ErrorKind};

use super::{ROLES, dump, harness, needs_psql};
use crate::support::Scratch;
use crate::support::difference::difference;
use crate::support::pg_dump::{pg_dump, server_program};
use crate::support::skip::print_uncaptured;
use crate::support::systems::{SYSTEMS, system};

/// The data without the ledgers, which the migrations fill.
const DATA_ONLY: [&str; 3] = [
    "--data-only",
    "--exclude-table=_sqlx_migrations",
    "--exclude-table=alembic_version",
];

#[tokio::test]
async fn a_dump_of_each_system_makes_the_same_database_in_every_role() {
    needs_psql!();
    for (name, migrations) in SYSTEMS {
        let Some(original) = original(name, migrations).await else {
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
                let loaded = loaded.unwrap_or_else(|error| panic!("{name}, {role:?}: {error:?}"));
                let found = dump(&loaded).await;
                let difference = difference(&expected, &found);
                assert!(
                    found == expected,
                    "{name}, {role:?}, {options:?}: {difference}"
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
    for (name, migrations) in SYSTEMS {
        let Some(original) = original(name, migrations).await else {
            continue;
        };
        let text = file_of(&original, &DATA_ONLY).await;
        let expected = dump_of_data(&original).await;
        let scratch = Scratch::new();
        scratch.write("seeds/0.sql", &text);
        let builder = system(name, migrations).seeds(scratch.path("seeds"));
        let loaded = builder.build().unwrap().database().await.unwrap();
        assert_eq!(dump_of_data(&loaded).await, expected, "{name}");
        loaded.close().await.unwrap();
        original.close().await.unwrap();
    }
}

/// A system's database with its seeds; `None` if the server lacks one of its extensions.
async fn original(name: &str, migrations: &str) -> Option<Database> {
    let harness = system(name, migrations).build().unwrap();
    match harness.database().await {
        Err(error) if error.kind() == ErrorKind::ExtensionUnavailable => {
            print_uncaptured(&format!("left out: {name}: {error}"));
            None
        }
        other => Some(other.unwrap()),
    }
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
