//! What happens before the first request.

use std::str::FromStr as _;

use ebbtide_example_shared::{ConnectError, OutOfDate, Patience, SchemaState, connect};
use sqlx::Connection as _;
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::MIGRATOR;

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `DATABASE_URL` is no URL.
    #[error("DATABASE_URL is not a PostgreSQL URL")]
    Url(#[source] sqlx::Error),
    /// There is no server, or it does not want us.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The migrations have not run here, or others have. `ebbtide-example-tickets migrate` runs them.
    #[error("{0}; run the command `migrate` first")]
    Schema(#[from] OutOfDate),
    /// A migration failed.
    #[error("migrating failed")]
    Migrate(#[from] MigrateError),
    /// The server went away.
    #[error("the database cannot be asked")]
    Database(#[from] sqlx::Error),
}

/// Waits for the server, and checks that the database is what this program was made for.
///
/// # Errors
/// No connection, or another schema.
pub async fn open(url: &str, patience: Patience) -> Result<PgPool, StartError> {
    let options = wait(url, patience).await?;
    let pool = PgPoolOptions::new().connect_with(options).await?;
    SchemaState::read(&pool, &MIGRATOR)
        .await?
        .ensure_current()?;
    Ok(pool)
}

/// Waits for the server, and runs the migrations that have not run yet.
///
/// # Errors
/// No connection, or a migration that fails.
pub async fn migrate(url: &str, patience: Patience) -> Result<SchemaState, StartError> {
    let options = wait(url, patience).await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await?;
    MIGRATOR.run(&pool).await?;
    let state = SchemaState::read(&pool, &MIGRATOR).await?;
    pool.close().await;
    Ok(state)
}

async fn wait(url: &str, patience: Patience) -> Result<PgConnectOptions, StartError> {
    let options = PgConnectOptions::from_str(url).map_err(StartError::Url)?;
    let told = |reason: &str| tracing::info!("waiting for the database: {reason}");
    connect(&options, patience, told).await?.close().await?;
    Ok(options)
}
