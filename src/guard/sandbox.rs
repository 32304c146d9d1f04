//! The savepoint in which an application's statements outside its transactions run.
//!
//! ```text
//!  the pool's first connection: savepoint
//!    |
//!  the application's statements <-------------------------------------------------+
//!    |                                                                            |
//!  the connection returns to the pool: renew_savepoint                            |
//!    |-- as usual: release; savepoint --------------------------------------------+
//!    |-- a role, cursors or local settings: release; end them; savepoint ---------+
//!    |-- 25P02, a statement has failed: rollback to savepoint --------------------+
//!    +-- 25P01 or 3B001 --> the application has left the guarded transaction
//! ```

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use super::exchange::{execute, flag, last_row};
use super::message::sandbox as message;
use crate::sql_error::code;

/// Opens the savepoint in which the statements outside the application's transactions run. It is a
/// level for sqlx, so the application's `begin` opens a savepoint within it.
pub(crate) async fn begin_statement_savepoint(
    connection: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    // Forgotten and not dropped, because a drop would roll back to the savepoint.
    std::mem::forget(connection.begin().await?);
    Ok(())
}

/// Ends the savepoint around the statements that the application executed outside its transactions,
/// and opens the next.
///
/// Without a transaction, successful statements would be committed and a failed one undone. The
/// same happens here: the savepoint is released, or rolled back to if a statement has failed
/// (25P02). Called when the connection returns to the sandbox's pool.
///
/// # Errors
/// 25P01 or 3B001: the application has left the guarded transaction.
pub(crate) async fn renew_savepoint(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    match last_row(connection, message::renew()).await {
        Ok(row) if flag(&row, 0)? => end_locals(connection).await,
        Ok(_) => Ok(()),
        // The server has refused the release, so the savepoint is still set.
        Err(error) if code(&error) == Some("25P02") => {
            execute(connection, message::undo().to_owned()).await
        }
        Err(error) => Err(error),
    }
}

/// Ends what a real COMMIT would have ended: a role, cursors without hold, local settings.
async fn end_locals(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // Two more round trips, but hardly any application leaves something to end.
    let row = last_row(connection, message::locals()).await?;
    let locals: Option<&str> = row.try_get_unchecked(0)?;
    match locals {
        None => Ok(()),
        Some(statements) => execute(connection, message::end_locals(statements)).await,
    }
}
