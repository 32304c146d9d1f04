//! Requests to a router, without a port.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt as _;

/// Sends JSON and returns the answer.
///
/// # Panics
/// The answer is not JSON.
pub async fn post(app: &Router, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    answer(
        app,
        request
            .body(Body::from(body.to_string()))
            .expect("paths are literals"),
    )
    .await
}

/// Returns the answer.
///
/// # Panics
/// The answer is not JSON.
pub async fn get(app: &Router, path: &str) -> (StatusCode, Value) {
    answer(
        app,
        Request::get(path)
            .body(Body::empty())
            .expect("paths are literals"),
    )
    .await
}

async fn answer(app: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = app
        .clone()
        .oneshot(request)
        .await
        .expect("a router answers everything");
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX)
        .await
        .expect("the whole body is there");
    let value = serde_json::from_slice(&body);
    (
        status,
        value.unwrap_or_else(|error| {
            panic!("{status}, {error}: {}", String::from_utf8_lossy(&body))
        }),
    )
}
