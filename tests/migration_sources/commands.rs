//! What any command goes through: its variables, its end, and what ends it.

use std::path::Path;
use std::time::Duration;

use ebbtide::{Backend, Builder, ErrorKind, Harness, MigrationCommand};

use crate::project::{fake_program, has_psql};
use crate::reports::{assert_tells, refused};
use crate::support::again::{again_as, role};
use crate::support::{Scratch, here, natively, wait_until};

/// A command that is a script of the test's own, found by its path in its directory.
fn script(scratch: &Scratch, text: &str) -> Builder {
    fake_program(scratch, "db/migrate", text);
    let command = MigrationCommand::new(["./migrate", "all"])
        .input(scratch.path("db"))
        .directory(scratch.path("db"));
    scratch.builder().migrations(command)
}

#[tokio::test]
async fn psql_needs_no_url_and_another_tool_gets_it_under_its_own_name() {
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
    let report = scratch
        .builder()
        .migrations(command)
        .build()
        .unwrap()
        .provision()
        .await
        .unwrap()
        .provisioned;
    assert_eq!(report.tables, ["owners", "pets"]);
    assert_eq!(
        (
            report.migrations[0].version.as_str(),
            report.migrations[0].description.as_str()
        ),
        ("", "./migrate")
    );
}

#[tokio::test]
async fn the_file_says_it_too() {
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
async fn a_command_that_fails_shows_its_output() {
    let scratch = Scratch::new();
    let error = refused(script(
        &scratch,
        "echo \"cannot find $1\"; echo 'giving up' >&2; exit 7",
    ))
    .await;
    assert_report!(scratch, error, Migration, @r"
    the command ./migrate all failed: exit code 7
      its output:
        cannot find all
        giving up
      help: mend what it says and run the tests again; it ran in [SCRATCH]/db, with the database's URL in DATABASE_URL; nothing of this database was kept
    ");
}

#[tokio::test]
async fn a_command_that_does_nothing_is_found_out() {
    let scratch = Scratch::new();
    assert_report!(scratch, refused(script(&scratch, "exit 0")).await, NothingMigrated, @r"
    the migrations ran, but the database has no table
      help: did the command go to another database, or write its ledger only (`alembic stamp`)? It must use the URL in DATABASE_URL, or PGHOST, PGDATABASE and their like, and commit
    ");
}

#[tokio::test]
async fn a_command_that_is_not_there_is_told_where_it_was_looked_for() {
    let scratch = Scratch::new();
    let missing = |name: &str| {
        scratch
            .builder()
            .migrations(MigrationCommand::new([name]).input(scratch.path("ebbtide.toml")))
    };
    let error = refused(missing("no-such-migrator")).await;
    let words = [
        "the migrations' command no-such-migrator is not there",
        "searched:",
        "/bin",
        "install no-such-migrator",
    ];
    assert_tells(&error, ErrorKind::MigrationSource, &words);
    let error = refused(missing("./no-such-migrator")).await;
    assert_tells(
        &error,
        ErrorKind::MigrationSource,
        &[
            "the migrations' command ./no-such-migrator is not there",
            "create ",
        ],
    );
}

#[tokio::test]
async fn a_command_that_hangs_is_ended_and_the_servers_statement_told() {
    if !has_psql() {
        return;
    }
    let scratch = Scratch::new();
    let pids = scratch.path("pids");
    let text = format!(
        "echo $$ > '{0}'\necho starting\npsql -X -q -c 'select pg_sleep(60)' & echo $! >> '{0}'\nwait",
        pids.display()
    );
    let error = refused(script(&scratch, &text).provision_timeout(Duration::from_secs(2))).await;
    assert_tells(
        &error,
        ErrorKind::Timeout,
        &["./migrate all is not done after 2s", "starting"],
    );
    let told = [
        "(psql), active, waits for Timeout: PgSleep: select pg_sleep(60)",
        "the server was executing",
    ];
    assert_tells(&error, ErrorKind::Timeout, &told);
    all_end(&pids, 2);
}

#[test]
fn a_command_ends_with_the_process_that_started_it() {
    if let Some(dir) = role() {
        return hang(Path::new(&dir));
    }
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    let pids = scratch.path("pids");
    let text = format!(
        "sleep 1000 & echo $! > '{0}'; echo $$ >> '{0}'; wait",
        pids.display()
    );
    fake_program(&scratch, "db/migrate", &text);
    let mut child = again_as(scratch.path("").to_str().unwrap(), here!())
        .spawn()
        .unwrap();
    wait_until("the command runs", || {
        std::fs::read_to_string(&pids).is_ok_and(|text| text.lines().count() == 2)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    all_end(&pids, 2);
}

/// The child's part: its command never ends. The server is one of its own, because its half-made database stays.
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let ended = runtime.block_on(async { builder.build().unwrap().tx().await });
    panic!("it ends: {ended:?}");
}

/// Waits until no process of these numbers lives.
fn all_end(pids: &Path, count: usize) {
    let text = std::fs::read_to_string(pids).unwrap();
    let pids: Vec<&str> = text.lines().collect();
    assert_eq!(pids.len(), count, "{text}");
    for pid in pids {
        let stat = format!("/proc/{pid}/stat");
        wait_until("the process ends", || {
            !std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "))
        });
    }
}
