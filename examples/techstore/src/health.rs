//! The health of the service.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ebbtide_example_shared::{Health, SchemaState, Status};
use serde::{Deserialize, Serialize};

use crate::{App, Error, MIGRATOR};

/// The response to `GET /health/db`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseHealth {
    /// Always `healthy`. Without a connection, the response is an error.
    pub status: Status,
    /// The server's version.
    pub version: String,
    /// The current number of connections.
    pub pool_size: u32,
    /// The maximum number of connections.
    pub pool_limit: u32,
    /// The database's name.
    pub name: String,
}

/// The response to `GET /health/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether the service can handle requests.
    pub ready: bool,
    /// The reason if it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

pub(crate) async fn health(State(app): State<App>) -> Health {
    Health::of(&app.pool, &MIGRATOR).await
}

pub(crate) async fn database(State(app): State<App>) -> Result<Json<DatabaseHealth>, Error> {
    let mut connection = app.connection().await?;
    let about = "select current_setting('server_version'), current_database()::text";
    let (version, name) = sqlx::query_as(about).fetch_one(&mut *connection).await?;
    Ok(Json(DatabaseHealth {
        status: Status::Healthy,
        version,
        pool_size: app.pool.size(),
        pool_limit: app.pool.options().get_max_connections(),
        name,
    }))
}

pub(crate) async fn ready(State(app): State<App>) -> Readiness {
    let reason = match SchemaState::read(&app.pool, &MIGRATOR).await {
        Ok(state) if state.problem.is_none() => None,
        Ok(state) => Some(state.to_string()),
        Err(error) => Some(Error::no_connection(&app.pool, error).to_string()),
    };
    Readiness {
        ready: reason.is_none(),
        reason,
    }
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        let status = if self.ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        (status, Json(self)).into_response()
    }
}
