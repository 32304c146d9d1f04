//! How the service is.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ebbtide_example_shared::{Health, SchemaState, Status};
use serde::{Deserialize, Serialize};

use crate::{App, Error, MIGRATOR};

/// The answer to `GET /health/db`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseHealth {
    /// `healthy`: otherwise the answer is another.
    pub status: Status,
    /// The server's.
    pub version: String,
    /// How many connections there are now.
    pub pool_size: u32,
    /// How many there may be.
    pub pool_limit: u32,
    /// The database's.
    pub name: String,
}

/// The answer to `GET /health/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether requests may come.
    pub ready: bool,
    /// Why not.
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
