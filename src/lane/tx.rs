//! The guarded transaction that a test gets.

use std::fmt;
use std::ops::{Deref, DerefMut};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Postgres, Transaction};

use super::held::Held;
use super::kept::KeptDatabase;
use super::open_tx::OpenTx;
use super::request::LaneRequest;
use super::tx_options::TxOptions;
use crate::error::Result;

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
/// [`savepoints`](TxOptions::savepoints).
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
}

impl Tx {
    #[tracing::instrument(name = "tx.open", level = "debug", skip_all)]
    pub(crate) async fn open(request: LaneRequest, options: TxOptions) -> Result<Self> {
        let open = OpenTx::open(&request, options).await?;
        let held = Held::new(open, request.on_drop);
        Ok(Self { held })
    }

    /// Opens a savepoint. Code under test may commit it or roll it back like a transaction.
    ///
    /// # Errors
    /// As for [`sqlx::Connection::begin`].
    pub async fn begin(&mut self) -> std::result::Result<Transaction<'_, Postgres>, sqlx::Error> {
        self.held.get_mut().connection.begin().await
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
