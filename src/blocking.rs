//! For tests that are not asynchronous, and drivers such as `diesel` or `postgres`.
//!
//! These functions wait on the calling thread, so they belong into functions that are not `async`.
//!
//! # Examples
//! ```no_run
//! # fn connect(url: &str) {}
//! # fn test() -> ebbtide::Result<()> {
//! let database = ebbtide::blocking::database()?;
//! connect(database.url());
//! ebbtide::blocking::close(database)
//! # }
//! ```

use std::sync::mpsc;

use crate::error::{Error, ErrorKind, Result};
use crate::harness::{self, Harness};
use crate::lane::{Database, KeptDatabase};
use crate::test_arg;

/// A database of the test's own from the process's own harness, as [`ebbtide::database`](crate::database()) gives it.
///
/// # Errors
/// As for [`Harness::database`].
pub fn database() -> Result<Database> {
    match test_arg::current() {
        Some(context) => wait(async move { context.database().await }),
        None => database_of(&harness::harness()?),
    }
}

/// A database of the test's own from another harness.
///
/// # Errors
/// As for [`Harness::database`].
pub fn database_of(harness: &Harness) -> Result<Database> {
    let harness = harness.clone();
    wait(async move { harness.database().await })
}

/// Takes a database back; see [`Database::close`].
///
/// # Errors
/// As for [`Database::close`].
pub fn close(database: Database) -> Result<()> {
    wait(database.close())
}

/// Keeps a database; see [`Database::keep`].
///
/// # Errors
/// As for [`Database::keep`].
pub fn keep(database: Database) -> Result<KeptDatabase> {
    wait(database.keep())
}

fn wait<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let work = harness::in_background(async move {
        // Nobody is there any more only if the waiting thread has ended.
        let _ = sender.send(work.await);
    })?;
    drop(work);
    receiver.recv().unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Io,
            "the background task ended without an answer",
        ))
    })
}
