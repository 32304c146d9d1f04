//! Marks a state of a guarded transaction by a savepoint, and returns to it.
//!
//! ```text
//!  rewind: savepoint _ebbtide_rewind; rollback to the checkpoint; select _ebbtide.rewind(..)
//!    |-- as usual ------------------------------------------------------------> Done
//!    |-- 3B001: rollback to _ebbtide_rewind, the transaction is as before ----> Missing
//!    |-- 25P01 ---------------------------------------------------------------> error
//!    |
//!    +-- 25P02 or another refusal: the same without the savepoint
//!          |-- as usual ------------------------------------------------------> Done
//!          |-- 3B001: the transaction is as failed as before -----------------> Missing
//!          +-- `_ebbtide.rewind` fails: rollback to the checkpoint -----------> error
//! ```
//!
//! The server alone knows whether the savepoint of a checkpoint still exists: the user's own
//! RELEASE or ROLLBACK TO of an earlier savepoint ends it.

use sqlx::Connection as _;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::exchange::{execute, last_row};
use super::message::checkpoint::{CheckpointSavepoint, restore_after_missing};
use crate::sql_error::{self, code};

/// SQLSTATE `no_active_sql_transaction`.
const NO_TRANSACTION: &str = "25P01";
/// SQLSTATE `in_failed_sql_transaction`.
const FAILED_TRANSACTION: &str = "25P02";
/// SQLSTATE `invalid_savepoint_specification`.
const NO_SAVEPOINT: &str = "3B001";

/// Whether a rewind has found its savepoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewound {
    Done,
    /// There is no such savepoint. The transaction is as it was.
    Missing,
}

/// Sets the savepoint. Returns what [`rewind`] restores beside it.
///
/// # Errors
/// EB003: a cursor is open. 25P02: a statement has failed. 25P01: there is no transaction. After an
/// error of the server the transaction is as it was.
pub(crate) async fn set_checkpoint(
    connection: &mut PgConnection,
    savepoint: CheckpointSavepoint,
) -> Result<String, sqlx::Error> {
    match last_row(connection, savepoint.set()).await {
        Ok(row) => row.try_get_unchecked::<&str, _>(0).map(str::to_owned),
        Err(error) => {
            let has_savepoint = match code(&error) {
                None | Some(NO_TRANSACTION | FAILED_TRANSACTION) => false,
                Some(_) => !sql_error::is_server_gone(&error),
            };
            if has_savepoint {
                execute(connection, savepoint.unset()).await?;
            }
            Err(error)
        }
    }
}

/// Rolls back to the savepoint, and restores `state`.
///
/// # Errors
/// 25P01: there is no transaction. EB004: another session has taken an advisory lock. After EB004,
/// only what [`set_checkpoint`] has returned may differ from the checkpoint.
pub(crate) async fn rewind(
    connection: &mut PgConnection,
    savepoint: CheckpointSavepoint,
    state: &str,
) -> Result<Rewound, sqlx::Error> {
    let rewound = match execute(connection, savepoint.rewind(state)).await {
        Err(error) if code(&error) == Some(NO_SAVEPOINT) => {
            execute(connection, restore_after_missing()).await?;
            return Ok(Rewound::Missing);
        }
        // Usually 25P02. The driver reports the error of a statement whose future was dropped as
        // the result of the next message, so any refusal gets a second attempt.
        Err(error)
            if code(&error).is_some_and(|code| code != NO_TRANSACTION)
                && !sql_error::is_server_gone(&error) =>
        {
            execute(connection, savepoint.rewind_failed(state)).await
        }
        other => other,
    };
    match rewound {
        Ok(()) => {}
        Err(error) if code(&error) == Some(NO_SAVEPOINT) => return Ok(Rewound::Missing),
        Err(error) => {
            if code(&error).is_some_and(|code| code != NO_TRANSACTION)
                && !sql_error::is_server_gone(&error)
            {
                execute(connection, savepoint.roll_back()).await?;
            }
            return Err(error);
        }
    }
    // A statement may have been prepared for a table that the rollback has changed. Executing it
    // would fail: "cached plan must not change result type".
    if connection.cached_statements_size() > 0 {
        connection.clear_cached_statements().await?;
    }
    Ok(Rewound::Done)
}
