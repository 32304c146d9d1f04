//! What another process plays: tests of sqlx's, which read `DATABASE_URL`, and tests that fail on purpose, whose report
//! is wanted.
#![expect(
    unnameable_test_items,
    reason = "they are called by a child, not collected"
)]

use std::panic::resume_unwind;
use std::process::Output;

use ebbtide::{Sandbox, Tx};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::again::{again_as, passed, role};
use crate::support::skip::say;
use crate::table::{Kind, Verdict};
use crate::world::{self, World};

tokio::task_local! {
    /// The test that a child may play a part in.
    pub(crate) static IN: &'static str;
}

/// The part of a child that probes what sqlx does, before the holes' numbers.
const SQLX: &str = "sqlx";
/// The part of a child that fails, before its kind and the statements.
const FAIL: &str = "fail";
pub(crate) const ELSEWHERE: &str = "elsewhere: ";
const VERDICT: &str = "VERDICT ";
/// Of the database in which sqlx keeps its books.
const MAIN: &str = "DATABASE_URL";

/// Plays this process's part, if it has one.
pub(crate) async fn play() -> bool {
    let Some(role) = role() else { return false };
    let (part, rest) = role.split_once('\n').unwrap();
    match part {
        SQLX => {
            for hole in rest.lines().map(|line| line.parse().unwrap()) {
                // Its databases are named after their tests, on a server that others use too.
                let name = format!("{hole} {}", std::env::var(MAIN).unwrap());
                let verdict = crate::probe(hole, Kind::SqlxTest, &name).await;
                say(&format!("{VERDICT}{hole} {verdict}"));
            }
        }
        // The attribute has a runtime of its own.
        FAIL => tokio::task::spawn_blocking(fail)
            .await
            .unwrap_or_else(|failed| resume_unwind(failed.into_panic())),
        _ => panic!("no such part: {part}"),
    }
    true
}

/// What `#[sqlx::test]` makes of these holes.
pub(crate) async fn with_sqlx(holes: &[u8], test: &'static str) -> Vec<Verdict> {
    let scratch = crate::support::Scratch::new();
    let main = scratch.builder().build().unwrap().database().await.unwrap();
    let numbers: Vec<String> = holes.iter().map(u8::to_string).collect();
    let mut child = again_as(&format!("{SQLX}\n{}", numbers.join("\n")), test);
    child.env(MAIN, main.url());
    let output = tokio::task::spawn_blocking(move || child.output().unwrap())
        .await
        .unwrap();
    let said = passed(&output);
    let verdict = |hole: &u8| {
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{VERDICT}{hole} ")));
        Verdict::named(line.unwrap_or_else(|| panic!("nothing was said of hole {hole}: {said}")))
            .unwrap()
    };
    let verdicts = holes.iter().map(verdict).collect();
    main.close().await.unwrap();
    verdicts
}

/// Drops what sqlx could not, because something was still connected.
pub(crate) async fn drop_databases(names: &[String]) {
    if names.is_empty() {
        return;
    }
    let mut main = PgConnection::connect(&std::env::var(MAIN).unwrap())
        .await
        .unwrap();
    for name in names {
        let drop = format!("drop database if exists \"{name}\" with (force)");
        sqlx::raw_sql(AssertSqlSafe(drop))
            .execute(&mut main)
            .await
            .unwrap();
    }
    main.close().await.unwrap();
}

/// Whether the report on a test that fails after these statements says all this, in this order. On an external server
/// that does not show its log it cannot, and says so: such a test has PostgreSQL's own errors alone.
pub(crate) async fn is_told(world: &World, statements: &[&str], words: &[&str]) -> bool {
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

/// What ebbtide says of a test that fails after these statements, whatever becomes of them. One that begins with
/// [`ELSEWHERE`] goes through a second connection.
async fn report_of(world: &World, statements: &[&str]) -> String {
    let test = IN.get();
    let mut child = again_as(
        &format!("{FAIL}\n{}\n{}", world.kind, statements.join("\n")),
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
    let (said, complained) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert!(
        !status.success() && complained.contains("on purpose"),
        "{said}\n{complained}"
    );
    complained.into_owned()
}

fn fail() {
    match part().0.as_str() {
        "Tx" => {
            #[ebbtide::test]
            async fn fails(mut tx: Tx) {
                for statement in part().1 {
                    // Refused or not: the report tells.
                    let _ = match statement.strip_prefix(ELSEWHERE) {
                        Some(statement) => elsewhere(&tx.url(), statement).await,
                        None => world::run(&mut tx, &statement).await,
                    };
                }
                panic!("on purpose");
            }
            fails();
        }
        "Sandbox" => {
            #[ebbtide::test]
            async fn fails(sandbox: Sandbox) {
                for statement in part().1 {
                    // As above.
                    let _ = match statement.strip_prefix(ELSEWHERE) {
                        Some(statement) => elsewhere(&sandbox.url(), statement).await,
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
        kind => panic!("{kind} refuses nothing"),
    }
}

async fn elsewhere(url: &str, statement: &str) -> Result<(), sqlx::Error> {
    world::run(&mut PgConnection::connect(url).await?, statement).await
}

/// The kind of the test that fails, and its statements.
fn part() -> (String, Vec<String>) {
    let role = role().unwrap();
    let mut lines = role.lines().skip(1).map(str::to_owned);
    (lines.next().unwrap(), lines.collect())
}
