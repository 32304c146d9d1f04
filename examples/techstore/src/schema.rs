//! The migrations, up and down.

use ebbtide_example_shared::SchemaState;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};

use crate::Error;

/// The migrations that this program was built with.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Applies the pending migrations.
///
/// # Errors
/// [`Error::Conflict`] if the ledger and the program disagree; [`Error::Migrate`] if a migration
/// fails.
pub async fn up(pool: &PgPool) -> Result<SchemaState, Error> {
    let mut connection = pool.acquire().await?;
    let migrated = MIGRATOR.run(&mut *connection).await;
    close_after_error(connection, migrated).await?;
    Ok(SchemaState::read(pool, &MIGRATOR).await?)
}

/// Reverts every migration after the version `to`. With 0, it reverts all of them.
///
/// # Errors
/// As for [`up`].
pub async fn down(pool: &PgPool, to: i64) -> Result<SchemaState, Error> {
    let mut connection = pool.acquire().await?;
    let reverted = MIGRATOR.undo(&mut *connection, to).await;
    close_after_error(connection, reverted).await?;
    Ok(SchemaState::read(pool, &MIGRATOR).await?)
}

/// Closes the connection after an error. A migrator that fails does not release its advisory lock,
/// which prevents all other migrators from running until the session ends.
async fn close_after_error(
    connection: PoolConnection<Postgres>,
    outcome: Result<(), MigrateError>,
) -> Result<(), Error> {
    if outcome.is_err() {
        connection.close().await?;
    }
    Ok(outcome?)
}
