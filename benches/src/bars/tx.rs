//! Transactions in one process: a `Tx`, and a bare one on a connection that stays open.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, PgExecutor};

use crate::Error;
use crate::bars::{about, print};
use crate::ratios::alternate;
use crate::suite::Suite;

const BAR: f64 = 1.8;
const ROUNDS: usize = 25;
/// The number of transactions of one side in one round.
const BATCH_SIZE: usize = 200;

pub(super) async fn run(name: &str) -> Result<(), Error> {
    let suite = Suite::new().await?;
    let mut bare = PgConnection::connect_with(&suite.bare().connect_options()).await?;
    // The first transactions fill the caches of the sessions.
    guarded(&suite).await?;
    unguarded(&mut bare).await?;
    let ratios = alternate(
        ROUNDS,
        async || {
            let began = Instant::now();
            for _ in 0..BATCH_SIZE {
                guarded(&suite).await?;
            }
            Ok(began.elapsed())
        },
        async || {
            let began = Instant::now();
            for _ in 0..BATCH_SIZE {
                unguarded(&mut bare).await?;
            }
            Ok(began.elapsed())
        },
    )
    .await?;
    print(name, about(name), &ratios, BAR);
    bare.close().await?;
    suite.close().await
}

/// Opens a `Tx`, inserts a row and closes the `Tx`.
pub(crate) async fn guarded(suite: &Suite) -> Result<Duration, Error> {
    let began = Instant::now();
    let mut tx = suite.harness().tx().await?;
    insert(&mut *tx).await?;
    tx.close().await?;
    Ok(began.elapsed())
}

async fn unguarded(connection: &mut PgConnection) -> Result<(), Error> {
    let mut transaction = connection.begin().await?;
    insert(&mut *transaction).await?;
    transaction.rollback().await?;
    Ok(())
}

async fn insert<'e>(executor: impl PgExecutor<'e>) -> Result<(), sqlx::Error> {
    sqlx::query("insert into rooms (name, previous) values ('blue', 3)")
        .execute(executor)
        .await
        .map(drop)
}
