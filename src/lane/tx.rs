//! The guarded transaction that a test gets.

use std::fmt;
use std::ops::{Deref, DerefMut};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Postgres, Transaction};

use super::held::Held;
use super::kept::KeptDatabase;
use super::open_tx::OpenTx;
use super::request::LaneRequest;
use super::tx_checkpoint::{Checkpoints, TxCheckpoint};
use super::tx_options::TxOptions;
use crate::error::Result;
use crate::guard::CheckpointSavepoint;

/// A connection inside a transaction that is rolled back, on a database that no other test uses at
/// the same time.
///
/// It dereferences to [`PgConnection`], so `&mut *tx` is an executor, and [`begin`](Tx::begin)
/// opens a savepoint that code under test may commit. When the value is closed or dropped, ebbtide
/// rolls back what the test wrote, and restores sequences. A stray `COMMIT` fails and changes
/// nothing. Outside the transaction the connection is read only.
///
/// After a failed statement, PostgreSQL rejects all others until the end of the transaction. Code
/// under test that continues after an error must run within `begin()`, or in a transaction with
/// [`savepoints`](TxOptions::savepoints). A test that expects an error sets a
/// [`checkpoint`](Tx::checkpoint) before it, and rewinds to it.
///
/// `now()` returns the same time throughout a transaction. Use `clock_timestamp()` where time must
/// pass
/// (<https://www.postgresql.org/docs/current/functions-datetime.html#FUNCTIONS-DATETIME-CURRENT>).
///
/// # Cleanup
/// Dropping it rolls back in the background. [`close`](Tx::close) waits for the rollback. It
/// reports deferred constraints that do not hold, and a transaction that the test itself ended. If
/// the process is killed, the server rolls back, and ebbtide copies the database again before its
/// next use.
///
/// # Examples
/// ```no_run
/// # async fn test() -> ebbtide::Result<()> {
/// let mut tx = ebbtide::tx().await?;
/// sqlx::query("insert into customers (first_name) values ('Laura')").execute(&mut *tx).await?;
/// tx.close().await
/// # }
/// ```
#[must_use = "the transaction is rolled back when this is dropped"]
pub struct Tx {
    held: Held<OpenTx>,
    checkpoints: Checkpoints,
}

impl Tx {
    #[tracing::instrument(name = "tx.open", level = "debug", skip_all)]
    pub(crate) async fn open(request: LaneRequest, options: TxOptions) -> Result<Self> {
        let open = OpenTx::open(&request, options).await?;
        let held = Held::new(open, request.on_drop);
        Ok(Self {
            held,
            checkpoints: Checkpoints::new(CheckpointSavepoint::OfTx),
        })
    }

    /// Opens a savepoint. Code under test may commit it or roll it back like a transaction.
    ///
    /// # Errors
    /// As for [`sqlx::Connection::begin`].
    pub async fn begin(&mut self) -> std::result::Result<Transaction<'_, Postgres>, sqlx::Error> {
        self.held.get_mut().connection.begin().await
    }

    /// Marks the present state, so that [`rewind_to`](Self::rewind_to) can return to it.
    ///
    /// A test can have several checkpoints. Each is a savepoint with a name that begins with
    /// `_ebbtide`, and lasts until the end of the transaction.
    ///
    /// # Errors
    /// - [`Checkpoint`](crate::ErrorKind::Checkpoint): a statement has failed before, a cursor is
    ///   open (PostgreSQL does not restore its position), or the role that runs the migrations
    ///   cannot read a sequence. The transaction is as it was.
    /// - [`TransactionEscaped`](crate::ErrorKind::TransactionEscaped): the test has ended the
    ///   transaction.
    /// - [`ServerLost`](crate::ErrorKind::ServerLost): the server is gone.
    ///
    /// # Cancel safety
    /// If the future is dropped, a savepoint may remain, which changes nothing.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn test() -> ebbtide::Result<()> {
    /// let mut tx = ebbtide::tx().await?;
    /// let empty = tx.checkpoint().await?;
    /// for name in ["Laura", "Marta"] {
    ///     sqlx::query("insert into customers (first_name) values ($1)")
    ///         .bind(name)
    ///         .execute(&mut *tx)
    ///         .await?;
    ///     tx.rewind_to(&empty).await?;
    /// }
    /// tx.close().await
    /// # }
    /// ```
    pub async fn checkpoint(&mut self) -> Result<TxCheckpoint> {
        let open = self.held.get_mut();
        self.checkpoints
            .set(&mut open.connection, &open.in_use)
            .await
    }

    /// Returns to a checkpoint of this transaction, as often as needed. It also works after a
    /// failed statement.
    ///
    /// Everything that a rollback restores is as it was: rows, schema, settings, deferred
    /// constraints, notifications. So are the values of sequences, the advisory locks that the
    /// session holds, and the names of statements prepared in SQL. Checkpoints that were set later
    /// become invalid, and so do the test's own later savepoints.
    ///
    /// Some effects remain, because PostgreSQL cannot undo or show them. `currval`, `lastval` and
    /// the seed of `random()` are not restored. Libraries stay loaded, and links to other databases
    /// stay open. ANALYZE and CREATE INDEX leave their estimates. A custom setting that was set for
    /// the first time is empty and not NULL. An advisory lock that was taken several times may be
    /// held another number of times. EXECUTE of a statement that was deallocated since fails. sqlx
    /// remembers the types that it has seen, so a type that the test creates again needs another
    /// name.
    ///
    /// # Errors
    /// - [`Checkpoint`](crate::ErrorKind::Checkpoint): the checkpoint belongs to another
    ///   transaction; a rewind to an earlier checkpoint, or `ROLLBACK TO` or `RELEASE` of an
    ///   earlier savepoint, has undone it; or another session has taken an advisory lock meanwhile.
    /// - [`TransactionEscaped`](crate::ErrorKind::TransactionEscaped) and
    ///   [`ServerLost`](crate::ErrorKind::ServerLost): as for [`checkpoint`](Self::checkpoint).
    ///
    /// # Cancel safety
    /// If the future is dropped, the transaction may be rewound in part. Call this again.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn test() -> ebbtide::Result<()> {
    /// let mut tx = ebbtide::tx().await?;
    /// let before = tx.checkpoint().await?;
    /// let refused = sqlx::query("insert into customers (first_name) values (null)")
    ///     .execute(&mut *tx)
    ///     .await;
    /// assert!(refused.is_err());
    /// // Without this, PostgreSQL would reject every further statement.
    /// tx.rewind_to(&before).await?;
    /// tx.close().await
    /// # }
    /// ```
    pub async fn rewind_to(&mut self, checkpoint: &TxCheckpoint) -> Result<()> {
        let open = self.held.get_mut();
        self.checkpoints
            .rewind_to(checkpoint, &mut open.connection, &open.in_use)
            .await
    }

    /// A URL of the database, for `psql` and other drivers. Their sessions are read only and do not
    /// see what the transaction wrote.
    #[must_use]
    pub fn url(&self) -> String {
        self.held.get().in_use.read_only_url()
    }

    /// Checks deferred constraints as a commit would, and rolls back.
    ///
    /// # Errors
    /// - [`ConstraintViolated`](crate::ErrorKind::ConstraintViolated): a deferred constraint or
    ///   trigger rejected what the test wrote.
    /// - [`TransactionEscaped`](crate::ErrorKind::TransactionEscaped): the test had ended
    ///   the transaction by itself.
    /// - [`ServerLost`](crate::ErrorKind::ServerLost): the server is gone.
    ///
    /// # Cancel safety
    /// If the future is dropped, ebbtide copies the database again before its next use.
    pub async fn close(self) -> Result<()> {
        self.held.close().await
    }

    /// Commits what the test wrote and keeps the database, so that a person can inspect it. It
    /// exists for an hour, or for as long as `keep_for` specifies.
    ///
    /// # Errors
    /// The commit fails, for example because of a deferred constraint, or the server is gone.
    ///
    /// # Cancel safety
    /// If the future is dropped, the database may be kept or not.
    pub async fn keep(self) -> Result<KeptDatabase> {
        self.held.keep().await
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.held.get().connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.held.get_mut().connection
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held.fmt_as("Tx", "database", f)
    }
}
