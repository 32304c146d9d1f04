//! Tasks at the same time, and a transaction that is retried.

use std::sync::Arc;

use ebbtide::Database;
use sqlx::postgres::PgPool;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Adds one bell to the stock, in one attempt. `after_reading` is a place for a test to wait.
async fn try_to_add_bell(pool: &PgPool, after_reading: impl Future) -> sqlx::Result<()> {
    let mut transaction = pool
        .begin_with("begin isolation level serializable")
        .await?;
    let stock: i32 = sqlx::query_scalar("select stock from parts where sku = 'BELL-1'")
        .fetch_one(&mut *transaction)
        .await?;
    after_reading.await;
    sqlx::query("update parts set stock = $1 where sku = 'BELL-1'")
        .bind(stock + 1)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Repeats the transaction after SQLSTATE 40001, `serialization_failure`. Returns the attempts.
async fn add_bell(pool: PgPool, all_have_read: Arc<Barrier>) -> sqlx::Result<u32> {
    let mut result = try_to_add_bell(&pool, all_have_read.wait()).await;
    for attempt in 1.. {
        match result {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("40001") => {}
            other => return other.map(|()| attempt),
        }
        result = try_to_add_bell(&pool, async {}).await;
    }
    unreachable!("the attempts end with a result")
}

#[ebbtide::test]
async fn no_bell_is_lost(database: Database) -> Outcome {
    let pool = database.pool();
    sqlx::query("insert into parts (sku, name) values ('BELL-1', 'Bell')")
        .execute(&pool)
        .await?;

    let all_have_read = Arc::new(Barrier::new(4));
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        tasks.spawn(add_bell(pool.clone(), Arc::clone(&all_have_read)));
    }
    let mut attempts = 0;
    while let Some(task) = tasks.join_next().await {
        attempts += task??;
    }
    assert!(
        attempts >= 7,
        "all have read 0, so three of the first four attempts fail"
    );

    let stock: i32 = sqlx::query_scalar("select stock from parts")
        .fetch_one(&pool)
        .await?;
    assert_eq!(stock, 4);
    Ok(())
}
