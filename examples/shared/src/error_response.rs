//! The response to a request that failed.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A status code, and a message as `{"error": "..."}`.
#[derive(Debug)]
pub struct ErrorResponse {
    status: StatusCode,
    error: String,
}

impl ErrorResponse {
    /// For an error that the caller can correct.
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
        }
    }

    /// For an error that the caller cannot correct. Only the log contains the reason.
    pub fn internal(reason: &dyn std::error::Error) -> Self {
        tracing::error!("{reason}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal error; the server's log contains the reason",
        )
    }
}

impl From<sqlx::Error> for ErrorResponse {
    /// 503 if no connection became free in time, otherwise 500.
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            tracing::warn!("{error}");
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no database connection became free in time; try again",
            );
        }
        Self::internal(&error)
    }
}

impl From<JsonRejection> for ErrorResponse {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: String,
        }
        let body = Json(Body { error: self.error });
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            // In seconds.
            return (self.status, [(header::RETRY_AFTER, "1")], body).into_response();
        }
        (self.status, body).into_response()
    }
}
