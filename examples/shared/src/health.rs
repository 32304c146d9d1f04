//! The response to `GET /health`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::migrate::Migrator;

use crate::SchemaState;

/// Whether a service can work, and the reason if it cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The overall status.
    pub status: Status,
    /// `connected`, or the reason why there is no connection.
    pub database: String,
    /// `current X, expected Y`, and the problem if there is one.
    pub schema: String,
}

/// In JSON: `healthy`, `unhealthy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The service can work.
    Healthy,
    /// The service cannot work.
    Unhealthy,
}

impl Status {
    /// 200 or 503.
    #[must_use]
    pub fn code(self) -> StatusCode {
        match self {
            Self::Healthy => StatusCode::OK,
            Self::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Health {
    /// Queries the database.
    pub async fn of(pool: &PgPool, shipped: &Migrator) -> Self {
        match SchemaState::read(pool, shipped).await {
            Ok(state) => Self {
                status: if state.problem.is_none() {
                    Status::Healthy
                } else {
                    Status::Unhealthy
                },
                database: "connected".to_owned(),
                schema: state.to_string(),
            },
            Err(error) => Self {
                status: Status::Unhealthy,
                database: format!("unreachable: {error}"),
                schema: "unknown".to_owned(),
            },
        }
    }
}

impl IntoResponse for Health {
    fn into_response(self) -> Response {
        (self.status.code(), Json(self)).into_response()
    }
}
