//! Several continuations of one arranged state.

use ebbtide::{Database, Tx};
use sqlx::postgres::{PgConnection, PgPool};

type Outcome = Result<(), Box<dyn std::error::Error>>;

async fn stock_three_bells(connection: &mut PgConnection) -> sqlx::Result<()> {
    let stock = "insert into parts (sku, name, stock) values ('BELL-1', 'Bell', 3)";
    sqlx::query(stock).execute(connection).await.map(drop)
}

/// Adds a job, and takes the bells from the stock. Returns the job's number and what is left.
async fn sell(connection: &mut PgConnection, count: i32) -> sqlx::Result<(i64, i32)> {
    let job = sqlx::query_scalar("insert into jobs (task) values ('pack bells') returning id")
        .fetch_one(&mut *connection)
        .await?;
    let take = "update parts set stock = stock - $1 where sku = 'BELL-1' returning stock";
    let left = sqlx::query_scalar(take).bind(count);
    Ok((job, left.fetch_one(connection).await?))
}

/// A request to the application: one transaction on a connection of the pool.
async fn request_sale(pool: &PgPool, count: i32) -> sqlx::Result<(i64, i32)> {
    let mut transaction = pool.begin().await?;
    let sold = sell(&mut transaction, count).await?;
    transaction.commit().await?;
    Ok(sold)
}

/// Whether there were too few bells.
fn is_refused<T>(sale: sqlx::Result<T>) -> bool {
    matches!(sale, Err(sqlx::Error::Database(error)) if error.is_check_violation())
}

#[ebbtide::test]
async fn continuations_run_side_by_side_in_forks(database: Database) -> Outcome {
    stock_three_bells(&mut *database.pool().acquire().await?).await?;
    let (some, all) = (database.fork().await?, database.fork().await?);
    let (some, all) = (some.pool(), all.pool());
    let sales = tokio::try_join!(request_sale(&some, 1), request_sale(&all, 3))?;
    // Each fork counts from where the database was.
    assert_eq!(sales, ((1, 2), (1, 0)));
    assert!(is_refused(request_sale(&all, 1).await));
    assert_eq!(request_sale(&some, 1).await?, (2, 1));
    Ok(())
}

#[ebbtide::test]
async fn continuations_run_one_after_the_other_from_a_checkpoint(database: Database) -> Outcome {
    let pool = database.pool();
    stock_three_bells(&mut *pool.acquire().await?).await?;
    let stocked = database.checkpoint().await?;
    for (count, left) in [(1, 2), (2, 1), (3, 0)] {
        assert_eq!(request_sale(&pool, count).await?, (1, left));
        database.rewind_to(&stocked).await?;
    }
    assert!(is_refused(request_sale(&pool, 4).await));
    Ok(())
}

#[ebbtide::test]
async fn a_transaction_continues_after_an_expected_error(mut tx: Tx) -> Outcome {
    stock_three_bells(&mut tx).await?;
    let stocked = tx.checkpoint().await?;
    assert!(is_refused(sell(&mut tx, 4).await));
    tx.rewind_to(&stocked).await?;
    // The number of the refused sale's job is free again.
    assert_eq!(sell(&mut tx, 3).await?, (1, 0));
    Ok(())
}
