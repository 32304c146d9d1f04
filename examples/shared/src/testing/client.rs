//! Requests to a router, without a port.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt as _;

/// Sends a POST request with JSON. Returns the response's status code and JSON.
///
/// # Panics
/// The response is not JSON.
pub async fn post(app: &Router, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    send(
        app,
        request
            .body(Body::from(body.to_string()))
            .expect("paths are literals"),
    )
    .await
}

/// Sends a GET request. Returns the response's status code and JSON.
///
/// # Panics
/// The response is not JSON.
pub async fn get(app: &Router, path: &str) -> (StatusCode, Value) {
    send(
        app,
        Request::get(path)
            .body(Body::empty())
            .expect("paths are literals"),
    )
    .await
}

async fn send(app: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = app
        .clone()
        .oneshot(request)
        .await
        .expect("a router never fails");
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX)
        .await
        .expect("the body is complete");
    let value = serde_json::from_slice(&body);
    (
        status,
        value.unwrap_or_else(|error| {
            panic!("{status}, {error}: {}", String::from_utf8_lossy(&body))
        }),
    )
}
