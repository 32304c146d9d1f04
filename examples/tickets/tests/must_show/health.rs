//! `GET /health`.

use axum::http::StatusCode;
use ebbtide::{Database, Sandbox};
use ebbtide_example_shared::testing::{get, reserved_port};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::app::app;

#[ebbtide::test]
async fn health_contains_status_database_and_schema(sandbox: Sandbox) {
    let healthy = json!({
        "status": "healthy",
        "database": "connected",
        "schema": "current 20250417090000, expected 20250417090000",
    });
    assert_eq!(
        get(&app(sandbox.clone()), "/health").await,
        (StatusCode::OK, healthy)
    );
}

#[ebbtide::test(migrations = false)]
async fn health_is_unhealthy_with_the_reason_on_an_unmigrated_database(database: Database) {
    let unhealthy = json!({
        "status": "unhealthy",
        "database": "connected",
        "schema": "current none, expected 20250417090000: no migration has run on this database",
    });
    let response = get(&app(database.pool()), "/health").await;
    assert_eq!(response, (StatusCode::SERVICE_UNAVAILABLE, unhealthy));
}

#[tokio::test]
async fn health_is_unhealthy_with_the_reason_when_no_server_answers() {
    let (socket, port) = reserved_port();
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username("unused");
    // A pool retries a refused connection until its acquire timeout.
    let pool = PgPoolOptions::new()
        .acquire_timeout(std::time::Duration::from_millis(50))
        .connect_lazy_with(options);
    let (status, body) = get(&app(pool), "/health").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        (&body["status"], &body["schema"]),
        (&json!("unhealthy"), &json!("unknown"))
    );
    assert!(
        body["database"]
            .as_str()
            .unwrap()
            .starts_with("unreachable: "),
        "{body}"
    );
    drop(socket);
}
