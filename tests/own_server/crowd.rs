//! Many tests and many processes that need databases at once, on servers with few connections.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use crate::support::child_process::{assert_passed, child_role, test_command_as};
use crate::support::{Scratch, current_thread_runtime, runs_natively, this_test};
use ebbtide::Harness;
use ebbtide::config::{Backend, Builder, Cache};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

const PROCESSES: usize = 16;
const TESTS_PER_PROCESS: usize = 32;
/// The number of databases at one time, as `Database` documents it.
const MAX_DATABASES: usize = 32;
/// The environment variable for the directory that all child processes share.
const DIR_VARIABLE: &str = "DIR_OF_THE_CROWD";

/// A builder for the server that all processes with this directory share.
fn builder(dir: &Path) -> Builder {
    let builder = Harness::builder()
        .config_file(dir.join("ebbtide.toml"))
        .migrations(dir.join("migrations"));
    let builder = builder
        .without_seeds()
        .backend(Backend::Native)
        .cache(Cache::Never)
        .state_dir(dir.join("state"));
    builder.linger(Duration::from_secs(1))
}

/// Uses a database as each of the tests does: all connections that its pool allows, at the same
/// time. Every eighth test creates a table, which only a new copy of the template removes.
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
    assert_eq!(found, 0, "rows of another test");
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

async fn lanes(connection: &mut PgConnection, fingerprint: &str) -> BTreeSet<String> {
    let names = format!(
        "select datname::text from pg_database where datname like 'ebbtide\\_l\\_{fingerprint}\\_%'"
    );
    let names: Vec<String> = sqlx::query_scalar(AssertSqlSafe(names))
        .fetch_all(connection)
        .await
        .unwrap();
    names.into_iter().collect()
}

/// A harness whose server allows few connections. PostgreSQL reserves three of them for superusers
/// (`superuser_reserved_connections`).
fn harness_with_connections(dir: &Path, connections: usize) -> Harness {
    builder(dir)
        .setting("max_connections", connections.to_string())
        .build()
        .unwrap()
}

fn project() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("migrations/1_t.sql", "create table t (id int);");
    scratch
}

/// Starts a child process that runs the test in this role and on the server of this directory.
fn spawn_child(role: &str, test: &str, scratch: &Scratch) -> Child {
    test_command_as(role, test)
        .env(DIR_VARIABLE, scratch.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The directory that a child process shares with its parent.
fn dir_of_parent() -> PathBuf {
    PathBuf::from(std::env::var_os(DIR_VARIABLE).unwrap())
}

/// Runs tests as a test runner does: each in a thread with the test's name and a runtime of its
/// own.
fn at_once(count: usize, test: impl Fn(&tokio::runtime::Runtime, usize) + Sync) {
    std::thread::scope(|scope| {
        for number in 0..count {
            let test = &test;
            let thread = std::thread::Builder::new().name(format!("test {number}"));
            let run = move || {
                let runtime = current_thread_runtime();
                test(&runtime, number);
            };
            thread.spawn_scoped(scope, run).unwrap();
        }
    });
}

#[test]
fn more_databases_than_the_server_has_connections_for_take_turns_in_one_process() {
    if !runs_natively(this_test!()) {
        return;
    }
    for (connections, counts) in [(16, vec![8, 24, 128]), (50, vec![64])] {
        let scratch = project();
        let harness = harness_with_connections(&scratch.path(""), connections);
        for count in counts {
            at_once(count, |runtime, number| {
                runtime.block_on(use_a_database(&harness, number));
            });
        }
    }
}

#[test]
fn databases_sandboxes_and_transactions_share_few_connections() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = project();
    let harness = harness_with_connections(&scratch.path(""), 16);
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
fn idle_lanes_release_their_connections_to_a_test_that_waits() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = project();
    let harness = harness_with_connections(&scratch.path(""), 16);
    // The barrier gives each of the twelve tests a lane of its own. Afterwards all lanes are idle,
    // and each keeps its connection.
    let together = std::sync::Barrier::new(12);
    at_once(12, |runtime, _| {
        runtime.block_on(async {
            let tx = harness.tx().await.unwrap();
            together.wait();
            tx.close().await.unwrap();
        });
    });
    at_once(2, |runtime, number| {
        runtime.block_on(use_a_database(&harness, number));
    });
}

#[tokio::test]
async fn a_server_with_two_connections_for_tests_gives_a_database_a_pool_of_one() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = project();
    let harness = harness_with_connections(&scratch.path(""), 5);
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
async fn a_test_that_holds_all_connections_gets_an_error_when_it_opens_another_database() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = project();
    let harness = harness_with_connections(&scratch.path(""), 16);
    let held = [
        harness.database().await.unwrap(),
        harness.database().await.unwrap(),
    ];
    let error = harness
        .database()
        .await
        .expect_err("the server has connections for two databases");
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
    if let Some(role) = child_role() {
        let harness = harness_with_connections(&dir_of_parent(), 16);
        let runtime = current_thread_runtime();
        return runtime.block_on(async {
            // The idle lane of this Tx keeps a connection, which another process may need.
            harness.tx().await.unwrap().close().await.unwrap();
            use_a_database(&harness, role.parse().unwrap()).await;
        });
    }
    let test = this_test!();
    if !runs_natively(test) {
        return;
    }
    let counts = std::env::var("EBBTIDE_PROCESSES")
        .map_or(vec![8, 32], |count| vec![count.parse().unwrap()]);
    for count in counts {
        let scratch = project();
        let children: Vec<Child> = (0..count)
            .map(|number: usize| spawn_child(&number.to_string(), test, &scratch))
            .collect();
        for child in children {
            assert_passed(&child.wait_with_output().unwrap());
        }
    }
}

#[tokio::test]
async fn five_hundred_databases_in_sixteen_processes_stay_within_the_documented_limit() {
    if child_role().is_some() {
        let harness = builder(&dir_of_parent()).build().unwrap();
        for number in 0..TESTS_PER_PROCESS {
            use_a_database(&harness, number).await;
        }
        return;
    }
    let test = this_test!();
    if !runs_natively(test) {
        return;
    }
    let scratch = project();
    let fingerprint = builder(&scratch.path(""))
        .build()
        .unwrap()
        .provision()
        .await
        .unwrap()
        .fingerprint;
    // Another fingerprint on the same server: its own database is not counted.
    let watcher = scratch
        .own_server()
        .without_migrations()
        .linger(Duration::from_secs(1))
        .build()
        .unwrap();
    let database = watcher.database().await.unwrap();
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let mut children: Vec<Child> = (0..PROCESSES)
        .map(|_| spawn_child("child", test, &scratch))
        .collect();
    let mut max_count = 0;
    while children
        .iter_mut()
        .any(|child| child.try_wait().unwrap().is_none())
    {
        max_count = max_count.max(lanes(&mut connection, fingerprint.as_str()).await.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for child in children {
        let output: Output = child.wait_with_output().unwrap();
        assert_passed(&output);
    }
    println!(
        "{} databases handed out, {max_count} of them at once",
        PROCESSES * TESTS_PER_PROCESS
    );
    assert!(
        (2..=MAX_DATABASES).contains(&max_count),
        "{max_count} databases at once"
    );
    let cleaned = watcher.clean_up().await.unwrap();
    // The template and the lanes. One lane may be missing: when its process ended, it was dropped
    // and its new copy was not there yet.
    assert!(cleaned.dropped.len() > 1, "{cleaned:?}");
    assert_eq!(
        lanes(&mut connection, fingerprint.as_str()).await,
        BTreeSet::new()
    );
    connection.close().await.unwrap();
    database.close().await.unwrap();
}
