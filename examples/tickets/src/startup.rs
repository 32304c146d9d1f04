//! The start of the service: the connection, the schema check, and the migrations.

use std::str::FromStr as _;

use ebbtide_example_shared::{ConnectError, RetryPolicy, SchemaMismatch, SchemaState, connect};
use sqlx::Connection as _;
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::MIGRATOR;

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `DATABASE_URL` is not a valid URL.
    #[error("DATABASE_URL must be a URL such as postgres://user:password@server:5432/database")]
    Url(#[source] sqlx::Error),
    /// No server accepts connections, or it rejected this one.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The ledger does not match the program's migrations. `ebbtide-example-tickets migrate` applies
    /// pending ones.
    #[error("{0}; run the command `migrate` first")]
    Schema(#[from] SchemaMismatch),
    /// A migration failed.
    #[error("could not apply the migrations")]
    Migrate(#[from] MigrateError),
    /// A query failed.
    #[error("a query failed")]
    Database(#[from] sqlx::Error),
}

/// Waits for the server, and checks that the ledger matches the program's migrations.
///
/// # Errors
/// The connection fails, or the ledger does not match.
pub async fn open(url: &str, retry: RetryPolicy) -> Result<PgPool, StartError> {
    let options = wait(url, retry).await?;
    let pool = PgPoolOptions::new().connect_with(options).await?;
    SchemaState::read(&pool, &MIGRATOR)
        .await?
        .ensure_current()?;
    Ok(pool)
}

/// Waits for the server, and applies the pending migrations.
///
/// # Errors
/// The connection or a migration fails.
pub async fn migrate(url: &str, retry: RetryPolicy) -> Result<SchemaState, StartError> {
    let options = wait(url, retry).await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await?;
    MIGRATOR.run(&pool).await?;
    let state = SchemaState::read(&pool, &MIGRATOR).await?;
    pool.close().await;
    Ok(state)
}

async fn wait(url: &str, retry: RetryPolicy) -> Result<PgConnectOptions, StartError> {
    let options = PgConnectOptions::from_str(url).map_err(StartError::Url)?;
    let on_retry = |reason: &str| tracing::info!("waiting for the database: {reason}");
    connect(&options, retry, on_retry).await?.close().await?;
    Ok(options)
}
