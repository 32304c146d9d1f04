//! Files for psql among the migrations of a tool, which refuses them.

use ebbtide::ErrorKind;
use ebbtide::config::Migrations;
use sqlx::migrate::Migrator;

use super::empty;
use crate::support::Scratch;
use crate::support::reports::{assert_report_contains, provision_error};

const TABLE: &str = "create table t (id int);\n";

#[tokio::test]
async fn a_migration_that_only_psql_can_run_is_refused_with_the_remedy() {
    for (text, place, texts) in [
        (
            "copy t from stdin;\n1\n\\.\n",
            ":3:1",
            [
                "syntax error",
                "use the layout `sql` for it, make it a seed",
            ],
        ),
        (
            "copy t from stdin;",
            ":2:1",
            [
                "COPY .. FROM STDIN has no data in a migration",
                "with --inserts",
            ],
        ),
        (
            "copy t to stdout;",
            ":2:1",
            ["has no reader in a migration", "remove the statement"],
        ),
        (
            "\\restrict x\nselect 1;\n",
            ":2:1",
            ["syntax error", "lines that begin with a backslash"],
        ),
        (
            "listen a; notify a;",
            "",
            ["has received a notification", "remove LISTEN"],
        ),
    ] {
        for file in ["1_t.sql", "V1__t.sql", "2026-01-01-000000_t/up.sql"] {
            let scratch = Scratch::new();
            scratch.write(&format!("migrations/{file}"), &format!("{TABLE}{text}"));
            let dir = scratch.path("migrations");
            let migrations = match &file[..1] {
                "1" => Migrations::sqlx(&dir),
                "V" => Migrations::refinery(&dir),
                _ => Migrations::diesel(&dir),
            };
            let error = provision_error(scratch.builder().migrations(migrations)).await;
            // A notification comes at the end of the transaction.
            let place = match place {
                "" => "failed at its commit".to_owned(),
                place => format!("{}{place}", file.rsplit('/').next().unwrap()),
            };
            let texts = [&place, texts[0], texts[1]];
            assert_report_contains(&error, ErrorKind::Migration, &texts);
        }
        // The tool refuses the file, too.
        let scratch = Scratch::new();
        scratch.write("migrations/1_t.sql", &format!("{TABLE}{text}"));
        let database = empty(&scratch).await;
        let migrator = Migrator::new(scratch.path("migrations")).await.unwrap();
        assert!(migrator.run(&database.pool()).await.is_err(), "{text}");
        // The session that has the error may still wait for data.
        drop(database);
    }
}
