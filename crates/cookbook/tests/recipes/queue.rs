//! A queue in a table, with several workers.

use std::collections::BTreeMap;

use ebbtide::Database;
use sqlx::postgres::{PgConnection, PgPool};
use tokio::task::JoinSet;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Locks the next job until the end of the transaction, and passes over jobs that others lock.
async fn take_job(transaction: &mut PgConnection) -> sqlx::Result<Option<(i64, String)>> {
    let next = "select id, task from jobs where done_by is null
                order by id limit 1 for update skip locked";
    sqlx::query_as(next).fetch_optional(transaction).await
}

/// Does jobs until none is free. A worker that fails rolls back, and its job is free again.
async fn work(pool: PgPool, worker: String) -> sqlx::Result<Vec<String>> {
    let mut done = Vec::new();
    loop {
        let mut transaction = pool.begin().await?;
        let Some((id, task)) = take_job(&mut transaction).await? else {
            return Ok(done);
        };
        sqlx::query("update jobs set done_by = $1 where id = $2")
            .bind(&worker)
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        done.push(task);
    }
}

async fn add_jobs(pool: &PgPool, count: i32) -> sqlx::Result<()> {
    sqlx::query("insert into jobs (task) select 'job ' || n from generate_series(1, $1) n")
        .bind(count)
        .execute(pool)
        .await?;
    Ok(())
}

#[ebbtide::test]
async fn each_job_is_done_once(database: Database) -> Outcome {
    add_jobs(&database.pool(), 60).await?;
    let mut workers = JoinSet::new();
    for number in 1..=4 {
        workers.spawn(work(database.pool(), format!("worker {number}")));
    }
    let mut times = BTreeMap::new();
    while let Some(worker) = workers.join_next().await {
        for task in worker?? {
            *times.entry(task).or_insert(0) += 1;
        }
    }
    assert_eq!(times.len(), 60);
    assert!(times.values().all(|&it| it == 1), "{times:?}");
    Ok(())
}

#[ebbtide::test]
async fn a_job_is_free_again_after_a_failure(database: Database) -> Outcome {
    let pool = database.pool();
    add_jobs(&pool, 2).await?;
    let (mut first, mut second) = (pool.begin().await?, pool.begin().await?);
    assert_eq!(take_job(&mut first).await?, Some((1, "job 1".to_owned())));
    assert_eq!(take_job(&mut second).await?, Some((2, "job 2".to_owned())));

    first.rollback().await?;
    assert_eq!(take_job(&mut second).await?, Some((1, "job 1".to_owned())));
    Ok(())
}
