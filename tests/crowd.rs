//! Many processes that want databases of their own at once.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use ebbtide::{Backend, Harness};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use support::again::{again_as, passed, role};
use support::{Scratch, here, natively};

const PROCESSES: usize = 16;
const TESTS_OF_EACH: usize = 32;
/// As `Database` documents it.
const BOUND: usize = 32;
const DIR: &str = "DIR_OF_THE_CROWD";

fn harness(dir: &Path) -> Harness {
    let builder = Harness::builder()
        .config_file(dir.join("ebbtide.toml"))
        .migrations(dir.join("migrations"));
    let builder = builder
        .without_seeds()
        .backend(Backend::Native)
        .state_dir(dir.join("state"));
    builder.linger(Duration::from_secs(1)).build().unwrap()
}

/// What each of the tests does: every connection that its pool allows at once, and now and then what only a new copy
/// can undo.
async fn use_a_database(harness: &Harness, number: usize) {
    let database = harness.database().await.unwrap();
    let pool = database.pool();
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(pool.acquire().await.unwrap());
    }
    let found: i64 = sqlx::query_scalar("select count(*) from t")
        .fetch_one(&mut *all[0])
        .await
        .unwrap();
    assert_eq!(found, 0, "nobody else's rows");
    sqlx::raw_sql("insert into t values (1)")
        .execute(&mut *all[4])
        .await
        .unwrap();
    if number % 8 == 7 {
        sqlx::raw_sql("create table extra (id int)")
            .execute(&mut *all[3])
            .await
            .unwrap();
    }
    drop(all);
    database.close().await.unwrap();
}

async fn lanes(connection: &mut PgConnection, of: &str) -> BTreeSet<String> {
    let names = format!(
        "select datname::text from pg_database where datname like 'ebbtide\\_l\\_{of}\\_%'"
    );
    let names: Vec<String> = sqlx::query_scalar(AssertSqlSafe(names))
        .fetch_all(connection)
        .await
        .unwrap();
    names.into_iter().collect()
}

/// A harness whose server has few connections, three of which PostgreSQL keeps for superusers.
fn narrow(dir: &Path, connections: usize) -> Harness {
    let builder = Harness::builder()
        .config_file(dir.join("ebbtide.toml"))
        .migrations(dir.join("migrations"));
    let builder = builder
        .without_seeds()
        .backend(Backend::Native)
        .state_dir(dir.join("state"));
    let connections = connections.to_string();
    builder
        .setting("max_connections", &connections)
        .linger(Duration::from_secs(1))
        .build()
        .unwrap()
}

fn project() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("migrations/1_t.sql", "create table t (id int);");
    scratch
}

/// Tests as a runner has them: each in a thread that bears its name, with a runtime of its own.
fn at_once(count: usize, test: impl Fn(&tokio::runtime::Runtime, usize) + Sync) {
    std::thread::scope(|scope| {
        for number in 0..count {
            let test = &test;
            let thread = std::thread::Builder::new().name(format!("test {number}"));
            let run = move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                test(&runtime, number);
            };
            thread.spawn_scoped(scope, run).unwrap();
        }
    });
}

#[test]
fn more_databases_than_the_server_has_connections_for_take_turns_in_one_process() {
    if !natively(here!()) {
        return;
    }
    for (connections, counts) in [(16, vec![8, 24, 128]), (50, vec![64])] {
        let scratch = project();
        let harness = narrow(&scratch.path(""), connections);
        for count in counts {
            at_once(count, |runtime, number| {
                runtime.block_on(use_a_database(&harness, number))
            });
        }
    }
}

#[test]
fn databases_sandboxes_and_transactions_share_few_connections() {
    if !natively(here!()) {
        return;
    }
    let scratch = project();
    let harness = narrow(&scratch.path(""), 16);
    at_once(48, |runtime, number| {
        runtime.block_on(async {
            match number % 3 {
                0 => use_a_database(&harness, number).await,
                1 => {
                    let sandbox = harness.sandbox().await.unwrap();
                    sqlx::raw_sql("insert into t values (1)")
                        .execute(&*sandbox)
                        .await
                        .unwrap();
                    sandbox.close().await.unwrap();
                }
                _ => {
                    let mut tx = harness.tx().await.unwrap();
                    sqlx::raw_sql("insert into t values (1)")
                        .execute(&mut *tx)
                        .await
                        .unwrap();
                    tx.close().await.unwrap();
                }
            }
        });
    });
}

#[test]
fn connections_of_idle_lanes_are_given_to_a_test_that_waits() {
    if !natively(here!()) {
        return;
    }
    let scratch = project();
    let harness = narrow(&scratch.path(""), 16);
    // All of them have a lane at once, and leave it behind with its connection.
    let together = std::sync::Barrier::new(12);
    at_once(12, |runtime, _| {
        runtime.block_on(async {
            let tx = harness.tx().await.unwrap();
            together.wait();
            tx.close().await.unwrap();
        });
    });
    at_once(2, |runtime, number| {
        runtime.block_on(use_a_database(&harness, number))
    });
}

#[tokio::test]
async fn a_server_with_two_connections_for_tests_gives_a_database_a_pool_of_one() {
    if !natively(here!()) {
        return;
    }
    let scratch = project();
    let harness = narrow(&scratch.path(""), 5);
    for _ in 0..3 {
        let database = harness.database().await.unwrap();
        assert_eq!(database.pool().options().get_max_connections(), 1);
        sqlx::raw_sql("insert into t values (1)")
            .execute(&database.pool())
            .await
            .unwrap();
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_test_that_holds_all_connections_and_wants_another_database_is_refused() {
    if !natively(here!()) {
        return;
    }
    let scratch = project();
    let harness = narrow(&scratch.path(""), 16);
    let held = [
        harness.database().await.unwrap(),
        harness.database().await.unwrap(),
    ];
    let error = harness
        .database()
        .await
        .expect_err("there are connections for two");
    assert_eq!(
        error.kind(),
        ebbtide::ErrorKind::OutOfConnections,
        "{error:?}"
    );
    for database in held {
        database.close().await.unwrap();
    }
}

#[test]
fn more_databases_than_the_server_has_connections_for_take_turns_in_many_processes() {
    if let Some(role) = role() {
        let harness = narrow(&PathBuf::from(std::env::var_os(DIR).unwrap()), 16);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        return runtime.block_on(async {
            // Its lane stays behind with its connection.
            harness.tx().await.unwrap().close().await.unwrap();
            use_a_database(&harness, role.parse().unwrap()).await;
        });
    }
    let test = here!();
    if !natively(test) {
        return;
    }
    let counts = std::env::var("EBBTIDE_PROCESSES")
        .map_or(vec![8, 32], |count| vec![count.parse().unwrap()]);
    for count in counts {
        let scratch = project();
        let children: Vec<Child> = (0..count)
            .map(|number: usize| {
                let mut child = again_as(&number.to_string(), test);
                child
                    .env(DIR, scratch.path(""))
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped());
                child.spawn().unwrap()
            })
            .collect();
        for child in children {
            passed(&child.wait_with_output().unwrap());
        }
    }
}

#[tokio::test]
async fn five_hundred_databases_in_sixteen_processes_stay_within_the_bound() {
    if role().is_some() {
        let harness = harness(&PathBuf::from(std::env::var_os(DIR).unwrap()));
        for number in 0..TESTS_OF_EACH {
            use_a_database(&harness, number).await;
        }
        return;
    }
    let test = here!();
    if !natively(test) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_t.sql", "create table t (id int);");
    let crowd = harness(&scratch.path(""))
        .provision()
        .await
        .unwrap()
        .fingerprint;
    // It looks from a database of its own, which is not one of the crowd's.
    let watcher = scratch
        .lonely()
        .without_migrations()
        .linger(Duration::from_secs(1))
        .build()
        .unwrap();
    let lookout = watcher.database().await.unwrap();
    let mut connection = PgConnection::connect(lookout.url()).await.unwrap();
    let mut children: Vec<Child> = (0..PROCESSES)
        .map(|_| {
            let mut child = again_as("one of the crowd", test);
            child
                .env(DIR, scratch.path(""))
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            child.spawn().unwrap()
        })
        .collect();
    let mut most = 0;
    while children
        .iter_mut()
        .any(|child| child.try_wait().unwrap().is_none())
    {
        most = most.max(lanes(&mut connection, crowd.as_str()).await.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for child in children {
        let output: Output = child.wait_with_output().unwrap();
        passed(&output);
    }
    println!(
        "{} databases handed out, {most} of them at once",
        PROCESSES * TESTS_OF_EACH
    );
    assert!((2..=BOUND).contains(&most), "{most} databases at once");
    let reaped = watcher.clean_up().await.unwrap();
    // The template and lanes; one may have been dropped to be copied when its process ended.
    assert!(reaped.dropped.len() > 1, "{reaped:?}");
    assert_eq!(
        lanes(&mut connection, crowd.as_str()).await,
        BTreeSet::new()
    );
    connection.close().await.unwrap();
    lookout.close().await.unwrap();
}
