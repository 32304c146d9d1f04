//! Databases for tests that are not asynchronous, and for drivers such as `diesel` or `postgres`.
//!
//! These functions block the calling thread. Call them from functions that are not `async`: in an
//! `async` test they would block the runtime.
//!
//! When a [`Database`] is dropped, ebbtide resets it in the background. [`close`] waits for the
//! reset, and returns its error.
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

use crate::config::MigrationVersion;
use crate::error::{Error, ErrorKind, Result};
use crate::harness::{self, Harness};
use crate::lane::{Checkpoint, Database, KeptDatabase};
use crate::provision::VersionChange;
use crate::test_arg;

/// A database of the test's own from the process's default harness, like
/// [`ebbtide::database`](crate::database()).
///
/// # Errors
/// As for [`Harness::database`].
pub fn database() -> Result<Database> {
    match test_arg::current() {
        Some(context) => block_on(async move { context.database().await }),
        None => database_of(&Harness::shared()?),
    }
}

/// A database of the test's own from another harness.
///
/// # Errors
/// As for [`Harness::database`].
pub fn database_of(harness: &Harness) -> Result<Database> {
    let harness = harness.clone();
    block_on(async move { harness.database().await })
}

/// Applies all migrations that remain: see [`Database::migrate`].
///
/// # Errors
/// As for [`Database::migrate`].
///
/// # Examples
/// ```no_run
/// # fn insert_old_rows(url: &str) {}
/// #[ebbtide::test(migrations_up_to = 41)]
/// fn names_are_split(database: ebbtide::Database) -> ebbtide::Result<()> {
///     insert_old_rows(database.url());
///     ebbtide::blocking::migrate(&database)?;
///     Ok(())
/// }
/// # fn main() {}
/// ```
pub fn migrate(database: &Database) -> Result<VersionChange> {
    block_on(database.change_version(None))
}

/// Applies or reverts migrations up to and with one version: see [`Database::migrate_to`].
///
/// # Errors
/// As for [`Database::migrate_to`].
pub fn migrate_to(
    database: &Database,
    version: impl Into<MigrationVersion>,
) -> Result<VersionChange> {
    block_on(database.change_version(Some(version.into())))
}

/// Makes another database with the present contents: see [`Database::fork`].
///
/// A connection of [`Database::pool`] counts as in use until the runtime that used it has run
/// again, because sqlx returns a dropped connection to the pool in a task.
///
/// # Errors
/// As for [`Database::fork`].
///
/// # Examples
/// ```no_run
/// # fn work_on(url: &str) {}
/// # fn test() -> ebbtide::Result<()> {
/// let database = ebbtide::blocking::database()?;
/// work_on(database.url());
/// let fork = ebbtide::blocking::fork(&database)?;
/// work_on(fork.url());
/// # Ok(())
/// # }
/// ```
pub fn fork(database: &Database) -> Result<Database> {
    block_on(database.start_fork())
}

/// Records the present state of the database: see [`Database::checkpoint`].
///
/// # Errors
/// As for [`Database::checkpoint`].
pub fn checkpoint(database: &Database) -> Result<Checkpoint> {
    block_on(database.start_checkpoint())
}

/// Returns the database to a checkpoint: see [`Database::rewind_to`].
///
/// # Errors
/// As for [`Database::rewind_to`].
pub fn rewind_to(database: &Database, checkpoint: &Checkpoint) -> Result<()> {
    block_on(database.start_rewinding(checkpoint))
}

/// Ends every session on the database, and resets it or copies it again: see [`Database::close`].
///
/// # Errors
/// As for [`Database::close`].
pub fn close(database: Database) -> Result<()> {
    block_on(database.close())
}

/// Keeps the database after the test: see [`Database::keep`].
///
/// # Errors
/// As for [`Database::keep`].
pub fn keep(database: Database) -> Result<KeptDatabase> {
    block_on(database.keep())
}

/// Runs `work` on the background runtime, and waits for it on this thread.
fn block_on<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let work = harness::in_background(async move {
        // The receiver below waits until this task has sent or ended.
        let _ = sender.send(work.await);
    })?;
    drop(work);
    receiver.recv().unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Io,
            "the background task ended without a result",
        ))
    })
}
