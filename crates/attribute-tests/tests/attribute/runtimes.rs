//! `flavor`, `worker_threads` and `start_paused`: the runtime of a test; and tests without one.

use std::time::Duration;

use ebbtide::{Database, Sandbox, Tx};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Acquire as _, Connection as _};
use tokio::runtime::Handle;

use crate::support::{add, customers};

/// Commits from eight tasks at the same time.
async fn commit_concurrently(pool: &PgPool) {
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut transaction = pool.begin().await.unwrap();
                add(&mut *transaction, &format!("customer {number}")).await;
                transaction.commit().await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(customers(pool).await.len(), 8);
}

#[ebbtide::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_database_works_on_several_threads(pool: PgPool) {
    assert_eq!(Handle::current().metrics().num_workers(), 3);
    commit_concurrently(&pool).await;
}

#[ebbtide::test(flavor = "multi_thread")]
async fn a_sandbox_works_on_several_threads(sandbox: Sandbox) {
    commit_concurrently(&sandbox).await;
}

#[ebbtide::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tx_works_in_a_task_on_several_threads(mut tx: Tx) {
    let task = tokio::spawn(async move {
        add(&mut *tx, "Laura").await;
        tx
    });
    assert_eq!(customers(&mut *task.await.unwrap()).await, ["Laura"]);
}

#[ebbtide::test]
async fn a_database_works_in_tasks_on_one_thread(pool: PgPool) {
    commit_concurrently(&pool).await;
}

#[ebbtide::test(start_paused = true, fixtures("laura"))]
async fn a_tx_works_while_the_clock_is_paused(mut tx: Tx) {
    let before = tokio::time::Instant::now();
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(before.elapsed(), Duration::from_hours(1));
    for number in 0..20 {
        add(&mut *tx, &number.to_string()).await;
    }
    assert_eq!(customers(&mut *tx).await.len(), 21);
}

/// A pool's acquire timeout uses the test's clock. While that clock is paused, tokio advances it as
/// soon as all tasks are idle, so the timeout would elapse immediately. The test therefore acquires
/// connections only while the clock runs.
#[ebbtide::test(start_paused = true, fixtures("laura"))]
async fn a_connection_of_a_sandbox_works_while_the_clock_is_paused(sandbox: Sandbox) {
    tokio::time::resume();
    let mut connection = sandbox.acquire().await.unwrap();
    tokio::time::pause();
    for number in 0..20 {
        let mut transaction = connection.begin().await.unwrap();
        add(&mut *transaction, &number.to_string()).await;
        transaction.commit().await.unwrap();
    }
    let before = tokio::time::Instant::now();
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert!(before.elapsed() >= Duration::from_hours(1));
    drop(connection);
    tokio::time::resume();
    for _ in 0..20 {
        assert_eq!(customers(&*sandbox).await.len(), 21);
    }
}

#[ebbtide::test(fixtures("laura"))]
fn a_test_without_a_runtime_may_connect_to_its_database_by_url(database: Database) {
    let own = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    own.block_on(async {
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        assert_eq!(customers(&mut connection).await, ["Laura"]);
        add(&mut connection, "Marta").await;
        connection.close().await.unwrap();
    });
}

#[ebbtide::test(fixtures("laura"))]
fn a_test_without_a_runtime_may_open_a_database_with_its_fixtures() {
    let database = ebbtide::blocking::database().unwrap();
    let own = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    own.block_on(async {
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        assert_eq!(customers(&mut connection).await, ["Laura"]);
        let name: String = sqlx::query_scalar("select current_database()::text")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(name, database.name());
    });
    ebbtide::blocking::close(database).unwrap();
}

#[ebbtide::test(fixtures("laura"))]
fn the_sandbox_of_a_test_without_a_runtime_works_on_the_tests_own_runtime(sandbox: Sandbox) {
    let own = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    own.block_on(async {
        add(&*sandbox, "Marta").await;
        assert_eq!(customers(&*sandbox).await, ["Laura", "Marta"]);
    });
}
