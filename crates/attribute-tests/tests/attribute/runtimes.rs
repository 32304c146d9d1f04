//! The runtime of a test, and tests without one.

use std::time::Duration;

use ebbtide::{Database, Sandbox, Tx};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Acquire as _, Connection as _};
use tokio::runtime::Handle;

use crate::support::{add, customers};

/// Eight tasks that commit at the same time.
async fn crowd(pool: &PgPool) {
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
async fn many_threads_and_a_database(pool: PgPool) {
    assert_eq!(Handle::current().metrics().num_workers(), 3);
    crowd(&pool).await;
}

#[ebbtide::test(flavor = "multi_thread")]
async fn many_threads_and_a_sandbox(sandbox: Sandbox) {
    crowd(&sandbox).await;
}

#[ebbtide::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_threads_and_a_transaction_in_a_task(mut tx: Tx) {
    let task = tokio::spawn(async move {
        add(&mut *tx, "Laura").await;
        tx
    });
    assert_eq!(customers(&mut *task.await.unwrap()).await, ["Laura"]);
}

#[ebbtide::test]
async fn one_thread_and_tasks(pool: PgPool) {
    crowd(&pool).await;
}

#[ebbtide::test(start_paused = true, fixtures("laura"))]
async fn a_clock_that_stands_still_and_a_transaction(mut tx: Tx) {
    let before = tokio::time::Instant::now();
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(before.elapsed(), Duration::from_hours(1));
    for number in 0..20 {
        add(&mut *tx, &number.to_string()).await;
    }
    assert_eq!(customers(&mut *tx).await.len(), 21);
}

/// A wait for a pool's connection has a limit in the test's own time, which tokio lets pass when nothing else goes on:
/// so one connection is taken for good, or the clock runs.
#[ebbtide::test(start_paused = true, fixtures("laura"))]
async fn a_clock_that_stands_still_and_a_sandbox(sandbox: Sandbox) {
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
fn without_a_runtime_there_is_a_database_for_any_driver(database: Database) {
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
fn without_a_runtime_the_middle_has_the_tests_fixtures() {
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
fn without_a_runtime_a_sandbox_works_on_another(sandbox: Sandbox) {
    let own = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    own.block_on(async {
        add(&*sandbox, "Marta").await;
        assert_eq!(customers(&*sandbox).await, ["Laura", "Marta"]);
    });
}
