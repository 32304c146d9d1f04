//! Checkpoints of a guarded transaction.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::postgres::PgConnection;

use super::in_use::LaneInUse;
use super::open_tx;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{self, CheckpointSavepoint, Rewound};
use crate::guard_names::{ADVISORY_LOCK_TAKEN, CURSOR_OPEN};
use crate::sql_error;

/// A state of a [`Tx`](crate::Tx) or a [`Sandbox`](crate::Sandbox), to which `rewind_to` returns.
///
/// It is valid until the transaction ends, or until one of these statements undoes it: a rewind to
/// an earlier checkpoint, or `ROLLBACK TO` or `RELEASE` of a savepoint that was set before it.
#[derive(Clone)]
pub struct TxCheckpoint {
    transaction: u64,
    number: u64,
    /// What a rollback to the savepoint does not restore, as the server returned it.
    state: String,
}

impl fmt::Debug for TxCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxCheckpoint")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// The checkpoints of one transaction.
#[derive(Debug)]
pub(super) struct Checkpoints {
    transaction: u64,
    savepoint: fn(u64) -> CheckpointSavepoint,
    last_number: u64,
    /// Those to which no rewind to an earlier one has put an end, the latest last.
    numbers: Vec<u64>,
}

impl Checkpoints {
    /// The checkpoints of a new transaction, whose savepoints are of this kind.
    pub(super) fn new(savepoint: fn(u64) -> CheckpointSavepoint) -> Self {
        static TRANSACTIONS: AtomicU64 = AtomicU64::new(0);
        Self {
            transaction: TRANSACTIONS.fetch_add(1, Ordering::Relaxed),
            savepoint,
            last_number: 0,
            numbers: Vec::new(),
        }
    }

    /// # Errors
    /// As for [`Tx::checkpoint`](crate::Tx::checkpoint).
    pub(super) async fn set(
        &mut self,
        connection: &mut PgConnection,
        in_use: &LaneInUse,
    ) -> Result<TxCheckpoint> {
        // Counted before the statement: a number whose savepoint may exist is never used again.
        self.last_number += 1;
        let number = self.last_number;
        match guard::set_checkpoint(connection, (self.savepoint)(number)).await {
            Ok(state) => {
                self.numbers.push(number);
                Ok(TxCheckpoint {
                    transaction: self.transaction,
                    number,
                    state,
                })
            }
            Err(error) => Err(not_set(error, in_use)),
        }
    }

    /// # Errors
    /// As for [`Tx::rewind_to`](crate::Tx::rewind_to).
    pub(super) async fn rewind_to(
        &mut self,
        checkpoint: &TxCheckpoint,
        connection: &mut PgConnection,
        in_use: &LaneInUse,
    ) -> Result<()> {
        if checkpoint.transaction != self.transaction {
            return Err(Error::new(
                ErrorKind::Checkpoint,
                "the checkpoint belongs to another transaction",
            )
            .with_help("rewind the transaction on which the checkpoint was set"));
        }
        let Some(index) = self
            .numbers
            .iter()
            .position(|number| *number == checkpoint.number)
        else {
            return Err(Error::new(
                ErrorKind::Checkpoint,
                "a rewind to an earlier checkpoint has undone this one",
            )
            .with_help("set a new checkpoint after the rewind"));
        };
        match guard::rewind(
            connection,
            (self.savepoint)(checkpoint.number),
            &checkpoint.state,
        )
        .await
        {
            Ok(Rewound::Done) => {
                self.numbers.truncate(index + 1);
                Ok(())
            }
            Ok(Rewound::Missing) => Err(Error::new(
                ErrorKind::Checkpoint,
                "the savepoint around the checkpoint has ended",
            )
            .with_help(
                "the transaction is as it was before this call; ROLLBACK TO or RELEASE of an \
                 earlier savepoint undoes a checkpoint: set it outside of that savepoint, or after \
                 it",
            )),
            Err(error) => Err(not_rewound(error, in_use)),
        }
    }
}

fn not_set(error: sqlx::Error, in_use: &LaneInUse) -> Error {
    let (message, help) = match sql_error::code(&error) {
        Some("25P01") => return open_tx::escaped_error(&in_use.test),
        Some("25P02") => (
            "a checkpoint cannot be set after a failed statement",
            "set it before the statement, or rewind to an earlier checkpoint",
        ),
        Some(CURSOR_OPEN) => (
            "a checkpoint cannot be set while a cursor is open, because PostgreSQL does not \
             restore its position",
            "set the checkpoint before DECLARE or after CLOSE",
        ),
        Some("42501") => (
            "a checkpoint cannot be set without the right to read every sequence",
            "let a migration create the sequence, or grant SELECT and UPDATE on it to the role \
             that runs the migrations",
        ),
        Some(_) if !sql_error::is_server_gone(&error) => (
            "the server refused to set a checkpoint",
            "the transaction is as it was before this call: remove the cause of the server's error",
        ),
        _ => return in_use.lanes.diagnose("setting a checkpoint", error),
    };
    Error::new(ErrorKind::Checkpoint, message)
        .with_source(error)
        .with_help(help)
}

fn not_rewound(error: sqlx::Error, in_use: &LaneInUse) -> Error {
    let (message, help) = match sql_error::code(&error) {
        Some("25P01") => return open_tx::escaped_error(&in_use.test),
        Some(ADVISORY_LOCK_TAKEN) => (
            "a rewind cannot take an advisory lock again that the transaction held at the \
             checkpoint",
            "everything else is rewound; let the other session release the lock, and rewind again",
        ),
        Some(_) if !sql_error::is_server_gone(&error) => (
            "the server refused to return to a checkpoint",
            "remove the cause of the server's error, and rewind again",
        ),
        _ => return in_use.lanes.diagnose("returning to a checkpoint", error),
    };
    Error::new(ErrorKind::Checkpoint, message)
        .with_source(error)
        .with_help(help)
}
