//! Time in a transaction, and code that takes the time as a parameter.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ebbtide::Tx;
use sqlx::postgres::PgConnection;

const DAY: Duration = Duration::from_hours(24);

#[ebbtide::test]
async fn now_stands_still_and_clock_timestamp_does_not(mut tx: Tx) -> sqlx::Result<()> {
    let times = "select now()::text, clock_timestamp()::text";
    let first: (String, String) = sqlx::query_as(times).fetch_one(&mut *tx).await?;
    let second: (String, String) = sqlx::query_as(times).fetch_one(&mut *tx).await?;
    assert_eq!(first.0, second.0, "both are the start of the transaction");
    assert_ne!(first.1, second.1);
    Ok(())
}

/// The number of repairs that were received more than 14 days before `now`.
async fn overdue(connection: &mut PgConnection, now: SystemTime) -> sqlx::Result<i64> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    sqlx::query_scalar(
        "select count(*) from repairs where received_at < to_timestamp($1) - interval '14 days'",
    )
    .bind(now.as_secs_f64())
    .fetch_one(connection)
    .await
}

#[ebbtide::test]
async fn a_repair_is_overdue_after_fourteen_days(mut tx: Tx) -> sqlx::Result<()> {
    let received = UNIX_EPOCH + 20_000 * DAY;
    sqlx::query("select set_config('app.workshop', '1', true)")
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "insert into repairs (workshop_id, bicycle, received_at)
         values (1, 'Tandem', to_timestamp(20000 * 24 * 60 * 60))",
    )
    .execute(&mut *tx)
    .await?;
    assert_eq!(overdue(&mut tx, received + 14 * DAY).await?, 0);
    assert_eq!(
        overdue(&mut tx, received + 14 * DAY + Duration::from_secs(1)).await?,
        1
    );
    Ok(())
}
