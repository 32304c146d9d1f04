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
const FOLDER: &str = "FOLDER_OF_THE_CROWD";

fn harness(folder: &Path) -> Harness {
    let builder = Harness::builder().config_file(folder.join("ebbtide.toml")).migrations(folder.join("migrations"));
    let builder = builder.without_seeds().backend(Backend::Native).state_dir(folder.join("state"));
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
    let found: i64 = sqlx::query_scalar("select count(*) from t").fetch_one(&mut *all[0]).await.unwrap();
    assert_eq!(found, 0, "nobody else's rows");
    sqlx::raw_sql("insert into t values (1)").execute(&mut *all[4]).await.unwrap();
    if number % 8 == 7 {
        sqlx::raw_sql("create table extra (id int)").execute(&mut *all[3]).await.unwrap();
    }
    drop(all);
    database.close().await.unwrap();
}

async fn lanes(connection: &mut PgConnection, of: &str) -> BTreeSet<String> {
    let names = format!("select datname::text from pg_database where datname like 'ebbtide\\_l\\_{of}\\_%'");
    let names: Vec<String> = sqlx::query_scalar(AssertSqlSafe(names)).fetch_all(connection).await.unwrap();
    names.into_iter().collect()
}

#[tokio::test]
async fn five_hundred_databases_in_sixteen_processes_stay_within_the_bound() {
    if role().is_some() {
        let harness = harness(&PathBuf::from(std::env::var_os(FOLDER).unwrap()));
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
    let crowd = harness(&scratch.path("")).provision().await.unwrap().fingerprint;
    // It looks from a database of its own, which is not one of the crowd's.
    let watcher = scratch.lonely().without_migrations().linger(Duration::from_secs(1)).build().unwrap();
    let lookout = watcher.database().await.unwrap();
    let mut connection = PgConnection::connect(lookout.url()).await.unwrap();
    let mut children: Vec<Child> = (0..PROCESSES)
        .map(|_| {
            let mut child = again_as("one of the crowd", test);
            child.env(FOLDER, scratch.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
            child.spawn().unwrap()
        })
        .collect();
    let mut most = 0;
    while children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        most = most.max(lanes(&mut connection, crowd.as_str()).await.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for child in children {
        let output: Output = child.wait_with_output().unwrap();
        passed(&output);
    }
    println!("{} databases handed out, {most} of them at once", PROCESSES * TESTS_OF_EACH);
    assert!((2..=BOUND).contains(&most), "{most} databases at once");
    let reaped = watcher.reap().await.unwrap();
    // The template and lanes; one may have been dropped to be copied when its process ended.
    assert!(reaped.dropped.len() > 1, "{reaped:?}");
    assert_eq!(lanes(&mut connection, crowd.as_str()).await, BTreeSet::new());
    connection.close().await.unwrap();
    lookout.close().await.unwrap();
}
