//! What can go wrong, and what is answered then.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ebbtide_example_shared::{ConnectError, OutOfDate, Refusal, SettingError};
use sqlx::PgPool;
use sqlx::migrate::MigrateError;

/// Every failure that the shop knows.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable is missing or not legal.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The tests' database and the shop's own are the same.
    #[error("TEST_DATABASE_URL names the shop's own database, {0}")]
    SameDatabase(String),
    /// A URL has a parameter that is not legal.
    #[error("the database's URL cannot be used")]
    Url(#[source] sqlx::Error),
    /// There is no server, or it does not want us.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Database and program do not fit together.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// `techstore init` has not run since the program was replaced, or the program is too old.
    #[error("{0}; run the command `init` first")]
    Schema(#[from] OutOfDate),
    /// A migration failed.
    #[error("migrating failed")]
    Migrate(#[source] MigrateError),
    /// All connections were in use for the whole time that a request waits.
    #[error("all {connections} database connections have been in use for {waited:?}")]
    PoolExhausted {
        /// As many as there may be.
        connections: u32,
        /// How long was waited.
        waited: std::time::Duration,
    },
    /// No connection could be made.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// A statement failed.
    #[error("a statement failed")]
    Database(#[from] sqlx::Error),
}

/// How database and program disagree about a migration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Its file was edited after it had run.
    #[error(
        "migration {version} ({description}) was changed after it had run on this database: restore its file, and put the change into a new migration"
    )]
    Changed {
        /// Its number.
        version: i64,
        /// The rest of its file's name.
        description: String,
    },
    /// It has run and is not shipped.
    #[error(
        "migration {version} has run on this database, and this program does not have it: use a newer program"
    )]
    Unknown {
        /// Its number.
        version: i64,
    },
}

impl Error {
    /// Why a pool gave no connection.
    pub(crate) fn no_connection(pool: &PgPool, error: sqlx::Error) -> Self {
        let options = pool.options();
        // The driver says the same when it was refused a connection again and again: then the pool is not full.
        if matches!(error, sqlx::Error::PoolTimedOut)
            && pool.size() >= options.get_max_connections()
        {
            let connections = options.get_max_connections();
            return Self::PoolExhausted {
                connections,
                waited: options.get_acquire_timeout(),
            };
        }
        Self::Unreachable(error)
    }
}

impl From<MigrateError> for Error {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMismatch(version) => {
                let ours = crate::MIGRATOR
                    .iter()
                    .find(|migration| migration.version == version);
                let description = ours
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
        let refusal = match &self {
            Self::PoolExhausted { .. } | Self::Unreachable(_) => {
                tracing::warn!("{self}");
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, self.to_string())
            }
            Self::Database(error) => Refusal::internal(error),
            error => Refusal::internal(error),
        };
        refusal.into_response()
    }
}
