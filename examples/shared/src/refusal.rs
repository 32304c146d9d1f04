//! What a request is told that is not granted.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A status, and one sentence as `{"error": "..."}`.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    error: String,
}

impl Refusal {
    /// For what the caller can mend.
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
        }
    }

    /// For what the caller cannot mend: the reason goes to the log, and nowhere else.
    pub fn internal(reason: &dyn std::error::Error) -> Self {
        tracing::error!("{reason}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "something went wrong here; the log has the reason",
        )
    }
}

impl From<sqlx::Error> for Refusal {
    /// 503 when no connection came free in time, else 500.
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            tracing::warn!("{error}");
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no database connection came free in time; try again",
            );
        }
        Self::internal(&error)
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: String,
        }
        let body = Json(Body { error: self.error });
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            // Seconds.
            return (self.status, [(header::RETRY_AFTER, "1")], body).into_response();
        }
        (self.status, body).into_response()
    }
}
