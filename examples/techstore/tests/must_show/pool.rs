//! The pool: under many requests at once, when it is exhausted, and when one of its connections has died.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use ebbtide::Database;
use ebbtide_example_shared::Patience;
use ebbtide_example_shared::testing::{get, reserved_port};
use ebbtide_example_techstore::{App, PoolSettings, open};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Executor as _};
use tokio::task::JoinSet;

use super::Outcome;

const PRODUCTS: &str = "/api/v1/products";
const REQUESTS: usize = 40;

const ONE_CONNECTION: PoolSettings = PoolSettings {
    size: 1,
    overflow: 0,
    timeout: Duration::from_secs(30),
};
/// For requests that shall not get one.
const IMPATIENT: PoolSettings = PoolSettings {
    timeout: Duration::from_millis(200),
    ..ONE_CONNECTION
};

/// The application's sessions, and how many of them wait for a lock.
async fn sessions(observer: &mut PgConnection) -> sqlx::Result<(i64, i64)> {
    let sessions =
        "select count(*), count(*) filter (where wait_event_type = 'Lock') from pg_stat_activity
                    where datname = current_database() and application_name = 'techstore'";
    sqlx::query_as(sessions).fetch_one(observer).await
}

#[ebbtide::test]
async fn forty_requests_at_once_are_all_answered_on_fifteen_sessions(
    database: Database,
) -> Outcome {
    let pool = open(
        &database.url().parse()?,
        PoolSettings::default(),
        Patience::default(),
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
    for _ in 0..REQUESTS {
        let app: Router = app.clone();
        requests.spawn(async move {
            let (status, products) = get(&app, PRODUCTS).await;
            (status, products.as_array().map_or(0, Vec::len))
        });
    }
    // Every request has come as far as it can: as many as may be are at the server, the rest wait for a connection.
    loop {
        let (all, waiting) = sessions(&mut observer).await?;
        assert!(all <= 15, "{all} sessions");
        if waiting == 15 {
            break;
        }
    }
    assert_eq!((pool.size(), pool.num_idle()), (15, 0));
    locked.rollback().await?;
    let mut answered = 0;
    while let Some(answer) = requests.join_next().await {
        assert_eq!(answer?, (StatusCode::OK, 4));
        answered += 1;
        let (all, _) = sessions(&mut observer).await?;
        assert!(all <= 15, "{all} sessions");
    }
    assert_eq!(answered, REQUESTS);
    pool.close().await;
    Ok(())
}

#[ebbtide::test]
async fn an_exhausted_pool_answers_503_and_recovers(database: Database) -> Outcome {
    let pool = IMPATIENT
        .options()
        .connect_lazy_with(database.connect_options());
    let app = App::new(pool.clone()).router();
    // A busy machine may need longer than that to connect.
    let held = loop {
        if let Ok(connection) = pool.acquire().await {
            break connection;
        }
    };
    let error = "all 1 database connections have been in use for 200ms";
    let refusal = (StatusCode::SERVICE_UNAVAILABLE, json!({"error": error}));
    assert_eq!(get(&app, PRODUCTS).await, refusal);
    assert_eq!(get(&app, "/health/db").await, refusal);
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
async fn a_connection_that_died_in_the_pool_is_replaced(database: Database) -> Outcome {
    let careful = ONE_CONNECTION.options();
    // What would be answered without the pre-ping.
    let careless = careful.clone().test_before_acquire(false);
    for (options, wanted) in [
        (careful, StatusCode::OK),
        (careless, StatusCode::INTERNAL_SERVER_ERROR),
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
        let lives = "select exists (select from pg_stat_activity where pid = $1)";
        while sqlx::query_scalar(lives)
            .bind(pid)
            .fetch_one(&mut observer)
            .await?
        {}
        let (status, answer) = get(&app, PRODUCTS).await;
        assert_eq!(status, wanted, "{answer}");
        pool.close().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_gone_is_not_called_an_exhausted_pool() {
    let (socket, port) = reserved_port();
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username("nobody");
    let app = App::new(IMPATIENT.options().connect_lazy_with(options)).router();
    let refusal = (
        StatusCode::SERVICE_UNAVAILABLE,
        json!({"error": "the database cannot be reached"}),
    );
    assert_eq!(get(&app, PRODUCTS).await, refusal);
    drop(socket);
}
