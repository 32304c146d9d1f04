//! The pool: with many concurrent requests, when it is exhausted, and when a connection was closed.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use ebbtide::Database;
use ebbtide_example_shared::RetryPolicy;
use ebbtide_example_shared::testing::{get, reserved_port};
use ebbtide_example_techstore::{App, PoolSettings, open};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Executor as _};
use tokio::task::JoinSet;

use super::Outcome;

const PRODUCTS: &str = "/api/v1/products";
const REQUEST_COUNT: usize = 40;

const ONE_CONNECTION: PoolSettings = PoolSettings {
    size: 1,
    overflow: 0,
    timeout: Duration::from_secs(30),
};
/// With a short timeout, for requests that must fail.
const SHORT_TIMEOUT: PoolSettings = PoolSettings {
    timeout: Duration::from_millis(200),
    ..ONE_CONNECTION
};

/// The number of the application's sessions, and how many of them wait for a lock.
async fn sessions(observer: &mut PgConnection) -> sqlx::Result<(i64, i64)> {
    let sessions =
        "select count(*), count(*) filter (where wait_event_type = 'Lock') from pg_stat_activity
                    where datname = current_database() and application_name = 'techstore'";
    sqlx::query_as(sessions).fetch_one(observer).await
}

#[ebbtide::test]
async fn forty_concurrent_requests_succeed_on_fifteen_sessions(database: Database) -> Outcome {
    let pool = open(
        &database.url().parse()?,
        PoolSettings::default(),
        RetryPolicy::default(),
    )
    .await?;
    let app = App::new(pool.clone()).router();
    let mut observer = PgConnection::connect_with(&database.connect_options()).await?;
    let mut locker = PgConnection::connect_with(&database.connect_options()).await?;
    let mut locked = locker.begin().await?;
    locked
        .execute("lock table products in access exclusive mode")
        .await?;
    let mut requests: JoinSet<(StatusCode, usize)> = JoinSet::new();
    for _ in 0..REQUEST_COUNT {
        let app: Router = app.clone();
        requests.spawn(async move {
            let (status, products) = get(&app, PRODUCTS).await;
            (status, products.as_array().map_or(0, Vec::len))
        });
    }
    // Waits until fifteen sessions wait for the lock. The remaining requests wait for a connection.
    loop {
        let (all, waiting) = sessions(&mut observer).await?;
        assert!(all <= 15, "{all} sessions");
        if waiting == 15 {
            break;
        }
    }
    assert_eq!((pool.size(), pool.num_idle()), (15, 0));
    locked.rollback().await?;
    let mut succeeded = 0;
    while let Some(response) = requests.join_next().await {
        assert_eq!(response?, (StatusCode::OK, 4));
        succeeded += 1;
        let (all, _) = sessions(&mut observer).await?;
        assert!(all <= 15, "{all} sessions");
    }
    assert_eq!(succeeded, REQUEST_COUNT);
    pool.close().await;
    Ok(())
}

#[ebbtide::test]
async fn an_exhausted_pool_answers_503_and_recovers(database: Database) -> Outcome {
    let pool = SHORT_TIMEOUT
        .options()
        .connect_lazy_with(database.connect_options());
    let app = App::new(pool.clone()).router();
    // Under load, a connection may take longer than the timeout.
    let held = loop {
        if let Ok(connection) = pool.acquire().await {
            break connection;
        }
    };
    let error = "no database connection became free within 200ms; the maximum of 1 is in use";
    let unavailable = (StatusCode::SERVICE_UNAVAILABLE, json!({"error": error}));
    assert_eq!(get(&app, PRODUCTS).await, unavailable);
    assert_eq!(get(&app, "/health/db").await, unavailable);
    let unready = json!({"ready": false, "reason": error});
    assert_eq!(
        get(&app, "/health/ready").await,
        (StatusCode::SERVICE_UNAVAILABLE, unready)
    );
    drop(held);
    while get(&app, PRODUCTS).await.0 != StatusCode::OK {}
    pool.close().await;
    Ok(())
}

#[ebbtide::test]
async fn a_closed_connection_in_the_pool_is_replaced(database: Database) -> Outcome {
    let with_ping = ONE_CONNECTION.options();
    // The control: without the pre-ping, the request fails.
    let without_ping = with_ping.clone().test_before_acquire(false);
    for (options, expected) in [
        (with_ping, StatusCode::OK),
        (without_ping, StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        let pool = options.connect_with(database.connect_options()).await?;
        let app = App::new(pool.clone()).router();
        let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(&pool)
            .await?;
        let mut observer = PgConnection::connect_with(&database.connect_options()).await?;
        sqlx::query("select pg_terminate_backend($1)")
            .bind(pid)
            .execute(&mut observer)
            .await?;
        let exists = "select exists (select from pg_stat_activity where pid = $1)";
        while sqlx::query_scalar(exists)
            .bind(pid)
            .fetch_one(&mut observer)
            .await?
        {}
        let (status, body) = get(&app, PRODUCTS).await;
        assert_eq!(status, expected, "{body}");
        pool.close().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_server_is_not_reported_as_an_exhausted_pool() {
    let (socket, port) = reserved_port();
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username("unused");
    let app = App::new(SHORT_TIMEOUT.options().connect_lazy_with(options)).router();
    let unavailable = (
        StatusCode::SERVICE_UNAVAILABLE,
        json!({"error": "could not connect to the database"}),
    );
    assert_eq!(get(&app, PRODUCTS).await, unavailable);
    drop(socket);
}
