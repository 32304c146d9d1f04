//! Migrations, up and down.

use ebbtide_example_shared::SchemaState;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};

use crate::Error;

/// The migrations that this program was built with.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Runs the migrations that have not run yet.
///
/// # Errors
/// [`Error::Conflict`] when the ledger and the program disagree, [`Error::Migrate`] when a migration fails.
pub async fn up(pool: &PgPool) -> Result<SchemaState, Error> {
    let mut connection = pool.acquire().await?;
    let migrated = MIGRATOR.run(&mut *connection).await;
    end(connection, migrated).await?;
    Ok(SchemaState::read(pool, &MIGRATOR).await?)
}

/// Undoes every migration after this one. With 0, all of them.
///
/// # Errors
/// As for [`up`].
pub async fn down(pool: &PgPool, to: i64) -> Result<SchemaState, Error> {
    let mut connection = pool.acquire().await?;
    let undone = MIGRATOR.undo(&mut *connection, to).await;
    end(connection, undone).await?;
    Ok(SchemaState::read(pool, &MIGRATOR).await?)
}

/// A migrator that fails does not give back the advisory lock that keeps others from migrating meanwhile: it ends with
/// the session.
async fn end(
    connection: PoolConnection<Postgres>,
    outcome: Result<(), MigrateError>,
) -> Result<(), Error> {
    if outcome.is_err() {
        connection.close().await?;
    }
    Ok(outcome?)
}
