//! The shop's errors, and the HTTP responses to them.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ebbtide_example_shared::{ConnectError, ErrorResponse, SchemaMismatch, SettingError};
use sqlx::PgPool;
use sqlx::migrate::MigrateError;

/// Every error of the shop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable is missing or invalid.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The tests' database and the shop's are the same.
    #[error("TEST_DATABASE_URL must name another database than the shop's, but both are {0}")]
    SameDatabase(String),
    /// A URL has an invalid parameter.
    #[error("the database's URL has an invalid parameter")]
    Url(#[source] sqlx::Error),
    /// No server accepts connections, or it rejected this one.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The database's ledger and the program conflict.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// `techstore init` has not run with this version of the program, or the program is too old.
    #[error("{0}; run the command `init` first")]
    Schema(#[from] SchemaMismatch),
    /// A migration failed.
    #[error("could not apply the migrations")]
    Migrate(#[source] MigrateError),
    /// All connections were in use until the acquire timeout of a request.
    #[error(
        "no database connection became free within {timeout:?}; the maximum of {connections} is in use"
    )]
    PoolExhausted {
        /// The maximum number of connections.
        connections: u32,
        /// How long the request waited.
        timeout: std::time::Duration,
    },
    /// The pool could not open a connection.
    #[error("could not connect to the database")]
    Unreachable(#[source] sqlx::Error),
    /// A statement failed.
    #[error("a statement failed")]
    Database(#[from] sqlx::Error),
}

/// How the ledger and the program disagree about a migration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The migration's file was edited after the migration had run.
    #[error(
        "migration {version} ({description}) was changed after it ran on this database; restore its file, and put the change into a new migration"
    )]
    Changed {
        /// The migration's version.
        version: i64,
        /// The rest of the file's name.
        description: String,
    },
    /// The migration has run, but the program does not contain it.
    #[error(
        "migration {version} has run on this database, but this program does not contain it; use a newer program"
    )]
    Unknown {
        /// The migration's version.
        version: i64,
    },
}

impl Error {
    /// Why a pool did not return a connection.
    pub(crate) fn no_connection(pool: &PgPool, error: sqlx::Error) -> Self {
        let options = pool.options();
        // The driver also returns `PoolTimedOut` if the server refused every connection. In that
        // case the pool is not full.
        if matches!(error, sqlx::Error::PoolTimedOut)
            && pool.size() >= options.get_max_connections()
        {
            let connections = options.get_max_connections();
            return Self::PoolExhausted {
                connections,
                timeout: options.get_acquire_timeout(),
            };
        }
        Self::Unreachable(error)
    }
}

impl From<MigrateError> for Error {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMismatch(version) => {
                let migration = crate::MIGRATOR
                    .iter()
                    .find(|migration| migration.version == version);
                let description = migration
                    .map(|migration| migration.description.to_string())
                    .unwrap_or_default();
                Self::Conflict(Conflict::Changed {
                    version,
                    description,
                })
            }
            MigrateError::VersionMissing(version) => Self::Conflict(Conflict::Unknown { version }),
            error => Self::Migrate(error),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let response = match &self {
            Self::PoolExhausted { .. } | Self::Unreachable(_) => {
                tracing::warn!("{self}");
                ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, self.to_string())
            }
            Self::Database(error) => ErrorResponse::internal(error),
            error => ErrorResponse::internal(error),
        };
        response.into_response()
    }
}
