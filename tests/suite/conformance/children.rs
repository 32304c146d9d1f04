//! Probes that need a child process: `#[sqlx::test]`, which reads `DATABASE_URL`, and tests that
//! fail on purpose, whose failure report is examined.

use std::panic::resume_unwind;
use std::process::Output;

use ebbtide::{Sandbox, Tx};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::conformance::table::{Kind, Verdict};
use crate::conformance::world::{Rights, World};
use crate::support::child_process::{assert_passed, child_role, test_command_as};
use crate::support::skip::print_uncaptured;
use crate::support::sql;

tokio::task_local! {
    /// The path of the running test. A child process runs the same test.
    pub(crate) static CURRENT_TEST: &'static str;
}

/// The first line of the role of a child that probes `#[sqlx::test]`. The number of the hole
/// follows.
const SQLX_ROLE: &str = "sqlx";
/// The first line of the role of a child that fails. The kind of its test follows, then its
/// statements, one a line.
const FAIL_ROLE: &str = "fail";
/// A statement with this prefix runs on a second connection.
pub(crate) const SECOND_CONNECTION: &str = "elsewhere: ";
/// The beginning of the line with the verdict, which the parent reads.
const VERDICT_PREFIX: &str = "VERDICT ";
/// The variable with the URL of the database in which sqlx lists the databases of its tests.
const SQLX_URL_VARIABLE: &str = "DATABASE_URL";

/// Runs the role of this process, and returns whether it has one.
pub(crate) async fn run_child_role() -> bool {
    let Some(role) = child_role() else {
        return false;
    };
    let (first, rest) = role.split_once('\n').unwrap();
    match first {
        SQLX_ROLE => {
            let hole = rest.parse().unwrap();
            // sqlx derives a database's name from the test's. The URL, which differs in each child,
            // keeps names apart on a shared server.
            let name = format!("{hole} {}", std::env::var(SQLX_URL_VARIABLE).unwrap());
            let verdict =
                crate::conformance::probe(hole, Kind::SqlxTest, &name, Rights::Administrator).await;
            print_uncaptured(&format!("{VERDICT_PREFIX}{verdict}"));
        }
        // `#[ebbtide::test]` starts a runtime of its own, which must not happen inside this one.
        FAIL_ROLE => tokio::task::spawn_blocking(fail)
            .await
            .unwrap_or_else(|failed| resume_unwind(failed.into_panic())),
        _ => panic!("there is no role {first}"),
    }
    true
}

/// The verdict on this hole in `#[sqlx::test]`, from a child process.
pub(crate) async fn probe_with_sqlx(hole: u8, test: &'static str) -> Verdict {
    let scratch = crate::support::Scratch::new();
    let sqlx_database = scratch.builder().build().unwrap().database().await.unwrap();
    let mut child = test_command_as(&format!("{SQLX_ROLE}\n{hole}"), test);
    child.env(SQLX_URL_VARIABLE, sqlx_database.url());
    let output = tokio::task::spawn_blocking(move || child.output().unwrap())
        .await
        .unwrap();
    let stdout = assert_passed(&output);
    let verdict = stdout
        .lines()
        .find_map(|line| line.strip_prefix(VERDICT_PREFIX))
        .and_then(Verdict::named)
        .unwrap_or_else(|| panic!("the child printed no verdict on hole {hole}: {stdout}"));
    sqlx_database.close().await.unwrap();
    verdict
}

/// Drops the databases that sqlx could not drop because a session was still connected.
pub(crate) async fn drop_databases(names: &[String]) {
    if names.is_empty() {
        return;
    }
    let mut connection = PgConnection::connect(&std::env::var(SQLX_URL_VARIABLE).unwrap())
        .await
        .unwrap();
    for name in names {
        let drop = format!("drop database if exists \"{name}\" with (force)");
        sqlx::raw_sql(AssertSqlSafe(drop))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection.close().await.unwrap();
}

/// Whether the failure report of a test with these statements contains all these words, in this
/// order.
///
/// Also `true` if the report states that the log of an external server cannot be read: then it
/// cannot contain the words.
pub(crate) async fn report_contains(world: &World, statements: &[&str], words: &[&str]) -> bool {
    let report = report_of(world, statements).await;
    if report.contains("(external)") && report.contains("the server's log cannot be read") {
        return true;
    }
    let mut rest = report.as_str();
    words.iter().all(|word| {
        rest.split_once(word).is_some_and(|(_, after)| {
            rest = after;
            true
        })
    })
}

/// ebbtide's report on a test that fails after these statements, whether or not they succeed. A
/// statement that begins with [`SECOND_CONNECTION`] runs on a second connection.
async fn report_of(world: &World, statements: &[&str]) -> String {
    let test = CURRENT_TEST.get();
    let mut child = test_command_as(
        &format!("{FAIL_ROLE}\n{}\n{}", world.kind, statements.join("\n")),
        test,
    );
    child.env("EBBTIDE_CONFIG", world.scratch().path("ebbtide.toml"));
    child.env("EBBTIDE_MIGRATIONS", world.scratch().path("migrations"));
    child.env("EBBTIDE_SEEDS", "none");
    child.env("EBBTIDE_EXTENSIONS", "");
    let Output {
        status,
        stdout,
        stderr,
    } = tokio::task::spawn_blocking(move || child.output().unwrap())
        .await
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert!(
        !status.success() && stderr.contains("on purpose"),
        "{stdout}\n{stderr}"
    );
    stderr.into_owned()
}

/// Runs a test that executes the role's statements and then fails.
fn fail() {
    match fail_role().0.as_str() {
        "Tx" => {
            #[ebbtide::test]
            async fn fails(mut tx: Tx) {
                for statement in fail_role().1 {
                    // A statement may fail: the parent examines the report.
                    let _ = match statement.strip_prefix(SECOND_CONNECTION) {
                        Some(statement) => run_on_second_connection(&tx.url(), statement).await,
                        None => sql::run(&mut tx, &statement).await,
                    };
                }
                panic!("on purpose");
            }
            fails();
        }
        "Sandbox" => {
            #[ebbtide::test]
            async fn fails(sandbox: Sandbox) {
                for statement in fail_role().1 {
                    // See above.
                    let _ = match statement.strip_prefix(SECOND_CONNECTION) {
                        Some(statement) => {
                            run_on_second_connection(&sandbox.url(), statement).await
                        }
                        None => sqlx::raw_sql(AssertSqlSafe(statement))
                            .execute(&*sandbox)
                            .await
                            .map(drop),
                    };
                }
                panic!("on purpose");
            }
            fails();
        }
        kind => panic!("only a Tx and a Sandbox have a failure report here, not {kind}"),
    }
}

async fn run_on_second_connection(url: &str, statement: &str) -> Result<(), sqlx::Error> {
    sql::run(&mut PgConnection::connect(url).await?, statement).await
}

/// The kind of the test that fails, and its statements.
fn fail_role() -> (String, Vec<String>) {
    let role = child_role().unwrap();
    let mut lines = role.lines().skip(1).map(str::to_owned);
    (lines.next().unwrap(), lines.collect())
}
