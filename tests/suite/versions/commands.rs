//! Commands with a place for the revision.

use ebbtide::{ErrorKind, Harness, Setup};

use crate::support::alembic::Project;
use crate::support::program::{fake_program, has_psql};
use crate::support::reports::assert_report_contains;
use crate::support::{Scratch, pool_sql};

/// A tool that applies the files up to a number, or all for `head`, and records the number.
const TOOL: &str = "set -e\n\
    sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 \"$@\"; }\n\
    sql -c 'create table if not exists alembic_version (version_num varchar(32) primary key)'\n\
    at=$(sql -c 'select coalesce(max(version_num::int), 0) from alembic_version')\n\
    to=$2; case $to in [a-g]*) echo \"no revision $to\"; exit 9;; esac\n\
    test \"$to\" != head || to=3\n\
    while test \"$at\" -lt \"$to\"; do\n\
    at=$((at + 1)); sql -f \"$at.sql\"\n\
    sql -c \"delete from alembic_version\" -c \"insert into alembic_version values ($at)\"\n\
    done";

fn harness(scratch: &Scratch) -> Harness {
    fake_program(scratch, "db/migrate", TOOL);
    for number in 1..=3 {
        let sql = format!("create table t{number} (id int);\n");
        scratch.write(&format!("db/{number}.sql"), &sql);
    }
    let text = "[provision]\nmigrations = { command = ['./migrate', 'upgrade', '{revision}'], \
                latest = 'head', inputs = ['db'], directory = 'db' }\n";
    scratch.write("ebbtide.toml", text);
    let builder = Harness::builder().config_file(scratch.path("ebbtide.toml"));
    builder.without_seeds().build().unwrap()
}

const TABLES: &str = "select string_agg(relname::text, ' ' order by relname) from pg_class \
                      where relname ~ '^t[0-9]$'";

#[tokio::test]
async fn a_command_migrates_by_its_revision() {
    if !has_psql() {
        return;
    }
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let database = harness
        .with_setup(Setup::new().migrations_up_to(1))
        .database()
        .await
        .unwrap();
    assert_eq!(pool_sql::text(&database.pool(), TABLES).await, "t1");
    assert_eq!(
        database.migrate_to(2).await.unwrap().to_string(),
        "applied 2"
    );
    assert_eq!(pool_sql::text(&database.pool(), TABLES).await, "t1 t2");
    assert_eq!(database.migrate().await.unwrap().to_string(), "applied 3");
    assert_eq!(pool_sql::text(&database.pool(), TABLES).await, "t1 t2 t3");
    let error = database.migrate_to(1).await.unwrap_err();
    assert_report_contains(
        &error,
        ErrorKind::MigrationSource,
        &[
            "./migrate upgrade {revision}",
            "cannot revert",
            "migrations_up_to",
        ],
    );
    database.close().await.unwrap();
    // The plan's own template has the latest revision.
    let all = harness.database().await.unwrap();
    assert_eq!(pool_sql::text(&all.pool(), TABLES).await, "t1 t2 t3");
    all.close().await.unwrap();
}

#[tokio::test]
async fn a_command_that_does_not_come_to_the_revision_is_refused() {
    if !has_psql() {
        return;
    }
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let database = harness
        .with_setup(Setup::new().migrations_up_to(2))
        .database()
        .await
        .unwrap();
    let error = database.migrate_to(1).await.unwrap_err();
    assert_report_contains(
        &error,
        ErrorKind::LedgerMismatch,
        &["alembic_version", "2", "only migrates forward"],
    );
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_revision_that_the_tool_refuses_fails_with_its_output() {
    if !has_psql() {
        return;
    }
    let scratch = Scratch::new();
    let setup = Setup::new().migrations_up_to("ae1027a6acf");
    let error = harness(&scratch)
        .with_setup(setup)
        .database()
        .await
        .unwrap_err();
    assert_report_contains(
        &error,
        ErrorKind::Migration,
        &[
            "./migrate upgrade ae1027a6acf failed",
            "no revision ae1027a6acf",
        ],
    );
}

#[tokio::test]
async fn alembic_migrates_by_its_revision() {
    let Some(project) = Project::copied() else {
        return;
    };
    let harness = project.builder_with_revision().build().unwrap();
    let database = harness
        .with_setup(Setup::new().migrations_up_to("0002"))
        .database()
        .await;
    let database = database.unwrap();
    assert_eq!(
        database.migrate_to("0003").await.unwrap().to_string(),
        "applied 0003"
    );
    assert_eq!(
        database.migrate().await.unwrap().to_string(),
        "applied 0004"
    );
    let report = harness.diff(database.url()).await.unwrap();
    assert!(report.is_clean(), "{report}");
    database.close().await.unwrap();
}
