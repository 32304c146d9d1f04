//! Notifications: the server delivers them at a commit.

use std::time::Duration;

use ebbtide::Database;
use sqlx::postgres::PgListener;
use tokio::time::timeout;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const ADD_JOB: &str = "insert into jobs (task) values ($1)";

/// Waits for the next notification. The limit only ends a test that would otherwise hang.
async fn next_job(listener: &mut PgListener) -> Result<String, Box<dyn std::error::Error>> {
    let notification = timeout(Duration::from_secs(30), listener.recv()).await??;
    Ok(notification.payload().to_owned())
}

#[ebbtide::test]
async fn a_job_is_announced_when_it_is_committed(database: Database) -> Outcome {
    let pool = database.pool();
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen("jobs").await?;

    let mut open = pool.begin().await?;
    sqlx::query(ADD_JOB)
        .bind("true the wheel")
        .execute(&mut *open)
        .await?;
    // Added later and committed first, so it is announced first.
    sqlx::query(ADD_JOB)
        .bind("oil the chain")
        .execute(&pool)
        .await?;
    assert_eq!(next_job(&mut listener).await?, "oil the chain");

    open.commit().await?;
    assert_eq!(next_job(&mut listener).await?, "true the wheel");
    Ok(())
}
