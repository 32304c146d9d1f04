//! Migrations by a command: its environment variables, its exit code, and its termination.

use std::path::Path;
use std::time::Duration;

use ebbtide::{ErrorKind, Harness};

use ebbtide::config::{Backend, Builder, MigrationCommand};

use crate::support::child_process::{child_role, test_command_as};
use crate::support::process::Process;
use crate::support::program::{fake_program, has_psql};
use crate::support::reports::{assert_report_contains, provision_error, provision_report};
use crate::support::{Scratch, current_thread_runtime, runs_natively, this_test, wait_until};

/// A builder whose migration command is this shell script, which runs in its own directory.
fn script(scratch: &Scratch, text: &str) -> Builder {
    fake_program(scratch, "db/migrate", text);
    let command = MigrationCommand::new(["./migrate", "all"])
        .input(scratch.path("db"))
        .directory(scratch.path("db"));
    scratch.builder().migrations(command)
}

#[tokio::test]
async fn psql_needs_no_url_and_a_tool_gets_it_in_the_configured_variable() {
    if !has_psql() {
        return;
    }
    let scratch = Scratch::new();
    let text = "set -e\npsql -X -q -v ON_ERROR_STOP=1 -f schema.sql\n\
                psql -X -q -v ON_ERROR_STOP=1 -c 'create table pets (id int)' \"$SHOP_URL\"\n\
                test -z \"${DATABASE_URL-}\"";
    scratch.write("db/schema.sql", "create table owners (id int);\n");
    fake_program(&scratch, "db/migrate", text);
    let command = MigrationCommand::new(["./migrate"]).url_variable("SHOP_URL");
    let command = command
        .input(scratch.path("db"))
        .directory(scratch.path("db"));
    let report = provision_report(scratch.builder().migrations(command)).await;
    assert_eq!(report.rows.keys().collect::<Vec<_>>(), ["owners", "pets"]);
    assert_eq!(
        (
            report.migrations[0].version.as_deref(),
            report.migrations[0].description.as_str()
        ),
        (None, "./migrate")
    );
}

#[tokio::test]
async fn a_command_can_be_configured_in_the_file() {
    if !has_psql() {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("db/schema.sql", "create table owners (id int);\n");
    let text = "[provision]\nmigrations = { command = ['psql', '-qXf', 'schema.sql'], inputs = ['db'], directory = 'db' }\n";
    scratch.write("ebbtide.toml", text);
    let builder = Harness::builder()
        .config_file(scratch.path("ebbtide.toml"))
        .without_seeds();
    let mut tx = builder.build().unwrap().tx().await.unwrap();
    sqlx::query("insert into owners values (1)")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_command_that_fails_is_reported_with_its_output() {
    let scratch = Scratch::new();
    let error = provision_error(script(
        &scratch,
        "echo \"cannot find $1\"; echo 'giving up' >&2; exit 7",
    ))
    .await;
    assert_report!(scratch, error, Migration, @r"
    the command ./migrate all failed: exit code 7
      its output:
        cannot find all
        giving up
      help: correct what its output reports and run the tests again; it ran in [SCRATCH]/db, with the database's URL in DATABASE_URL; nothing of this database was kept
    ");
}

#[tokio::test]
async fn a_command_that_migrates_nothing_is_detected() {
    let scratch = Scratch::new();
    assert_report!(scratch, provision_error(script(&scratch, "exit 0")).await, NothingMigrated, @r"
    the migrations ran, but the database has no table
      help: the command must connect with the URL in DATABASE_URL, or with PGHOST, PGDATABASE and the other PG* variables, and commit; check that it does not use another database, or write only its ledger (`alembic stamp`)
    ");
}

#[tokio::test]
async fn a_missing_command_is_reported_with_the_searched_directories() {
    let scratch = Scratch::new();
    let missing = |name: &str| {
        scratch
            .builder()
            .migrations(MigrationCommand::new([name]).input(scratch.path("ebbtide.toml")))
    };
    let error = provision_error(missing("no-such-migrator")).await;
    let texts = [
        "the migration command must exist, but no-such-migrator was not found",
        "searched:",
        "/bin",
        "install no-such-migrator",
    ];
    assert_report_contains(&error, ErrorKind::MigrationSource, &texts);
    let error = provision_error(missing("./no-such-migrator")).await;
    assert_report_contains(
        &error,
        ErrorKind::MigrationSource,
        &[
            "the migration command must exist, but ./no-such-migrator was not found",
            "create ",
        ],
    );
}

#[tokio::test]
async fn a_command_that_hangs_is_ended_and_reported_with_its_statement() {
    if !has_psql() {
        return;
    }
    let scratch = Scratch::new();
    let pids = scratch.path("pids");
    let text = format!(
        "echo $$ > '{0}'\necho starting\npsql -X -q -c 'select pg_sleep(60)' & echo $! >> '{0}'\nwait",
        pids.display()
    );
    let error =
        provision_error(script(&scratch, &text).provision_timeout(Duration::from_secs(2))).await;
    assert_report_contains(
        &error,
        ErrorKind::Timeout,
        &["./migrate all did not finish within 2s", "starting"],
    );
    let texts = [
        "(psql), active, waits for Timeout: PgSleep: select pg_sleep(60)",
        "the server was executing",
    ];
    assert_report_contains(&error, ErrorKind::Timeout, &texts);
    wait_until_all_end(&pids, 2);
}

#[test]
fn a_command_ends_with_the_process_that_started_it() {
    if let Some(dir) = child_role() {
        return hang(Path::new(&dir));
    }
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let pids = scratch.path("pids");
    let text = format!(
        "sleep 1000 & echo $! > '{0}'; echo $$ >> '{0}'; wait",
        pids.display()
    );
    fake_program(&scratch, "db/migrate", &text);
    let mut child = test_command_as(scratch.path("").to_str().unwrap(), this_test!())
        .spawn()
        .unwrap();
    wait_until("the command runs", || {
        std::fs::read_to_string(&pids).is_ok_and(|text| text.lines().count() == 2)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until_all_end(&pids, 2);
}

/// The role of the child, whose command never ends. It has a server of its own, because a
/// half-built database remains.
fn hang(dir: &Path) {
    let db = dir.join("db");
    let command = MigrationCommand::new(["./migrate"])
        .input(&db)
        .directory(&db);
    let builder = Harness::builder()
        .config_file(dir.join("ebbtide.toml"))
        .without_seeds()
        .migrations(command);
    let builder = builder
        .backend(Backend::Native)
        .state_dir(dir.join("state"))
        .linger(Duration::ZERO);
    let runtime = current_thread_runtime();
    let result = runtime.block_on(async { builder.build().unwrap().tx().await });
    panic!("the command must not end: {result:?}");
}

/// Waits until each process whose id is in the file has ended. Asserts that the file has `count`
/// ids.
fn wait_until_all_end(pids: &Path, count: usize) {
    let text = std::fs::read_to_string(pids).unwrap();
    let pids: Vec<&str> = text.lines().collect();
    assert_eq!(pids.len(), count, "{text}");
    for pid in pids {
        wait_until("the process ends", || Process::find(pid).is_none());
    }
}
