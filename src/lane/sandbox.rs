//! A pool whose one connection is inside a guarded transaction.

use std::fmt;
use std::ops::Deref;

use sqlx::postgres::PgPool;
use tokio::sync::Mutex;

use super::held::Held;
use super::kept::KeptDatabase;
use super::open_sandbox::OpenSandbox;
use super::request::LaneRequest;
use super::tx_checkpoint::{Checkpoints, TxCheckpoint};
use crate::error::Result;
use crate::guard::CheckpointSavepoint;

/// A [`PgPool`] with one connection, inside a transaction that is rolled back. Code under test can
/// begin, commit and roll back transactions.
///
/// It dereferences to [`PgPool`], so `sandbox.clone()` is a pool for the application. The
/// application's transactions are savepoints. A statement that fails outside of them undoes only
/// itself, as it would without a transaction. When the value is closed or dropped, ebbtide rolls
/// back what the test wrote.
///
/// A second `acquire` waits until the connection is released. If the connection stays in use for
/// five seconds without a pause, waiting calls fail with SQLSTATE 53400 and a message that names
/// the remedy. Code that needs several connections at once, or another driver, needs a
/// [`Database`](crate::Database).
///
/// `begin_with` fails with [`sqlx::Error::InvalidSavePointStatement`], because the isolation level
/// cannot change inside a transaction.
///
/// If tokio's clock is paused (`start_paused`), the pool's own timeouts pass at once. Use
/// [`Tx`](crate::Tx) there.
///
/// # Cleanup
/// As for [`Tx`](crate::Tx). Ebbtide closes the handles of the pool that still exist.
///
/// # Examples
/// ```no_run
/// # async fn application(pool: sqlx::PgPool) -> Result<(), sqlx::Error> { Ok(()) }
/// # async fn test() -> ebbtide::Result<()> {
/// let sandbox = ebbtide::sandbox().await?;
/// application(sandbox.clone()).await?;
/// let customers: i64 = sqlx::query_scalar("select count(*) from customers")
///     .fetch_one(&*sandbox)
///     .await?;
/// sandbox.close().await
/// # }
/// ```
#[must_use = "the transaction is rolled back when this is dropped"]
pub struct Sandbox {
    held: Held<OpenSandbox>,
    checkpoints: Mutex<Checkpoints>,
}

impl Sandbox {
    #[tracing::instrument(name = "sandbox.open", level = "debug", skip_all)]
    pub(crate) async fn open(request: LaneRequest) -> Result<Self> {
        let open = OpenSandbox::open(&request).await?;
        let held = Held::new(open, request.on_drop);
        Ok(Self {
            held,
            checkpoints: Mutex::new(Checkpoints::new(CheckpointSavepoint::OfSandbox)),
        })
    }

    /// Marks the present state, so that [`rewind_to`](Self::rewind_to) can return to it: see
    /// [`Tx::checkpoint`](crate::Tx::checkpoint). Waits until the application has released the
    /// connection, so it is outside of the application's transactions.
    ///
    /// # Errors
    /// As for [`Tx::checkpoint`](crate::Tx::checkpoint). Also
    /// [`Checkpoint`](crate::ErrorKind::Checkpoint) if the connection is not released within five
    /// seconds, or was closed.
    ///
    /// # Cancel safety
    /// As for [`Tx::checkpoint`](crate::Tx::checkpoint).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn cancel_booking(pool: sqlx::PgPool) -> Result<(), sqlx::Error> { Ok(()) }
    /// # async fn test() -> ebbtide::Result<()> {
    /// let sandbox = ebbtide::sandbox().await?;
    /// let booked = sandbox.checkpoint().await?;
    /// for _ in 0..2 {
    ///     cancel_booking(sandbox.clone()).await?;
    ///     sandbox.rewind_to(&booked).await?;
    /// }
    /// sandbox.close().await
    /// # }
    /// ```
    pub async fn checkpoint(&self) -> Result<TxCheckpoint> {
        let open = self.held.get();
        let mut checkpoints = self.checkpoints.lock().await;
        let mut connection = open.acquire_for_checkpoint().await?;
        let set = checkpoints.set(&mut connection, &open.in_use).await;
        connection.return_to_pool().await;
        set
    }

    /// Returns to a checkpoint of this sandbox: see [`Tx::rewind_to`](crate::Tx::rewind_to). Waits
    /// until the application has released the connection.
    ///
    /// # Errors
    /// As for [`Tx::rewind_to`](crate::Tx::rewind_to) and for [`checkpoint`](Self::checkpoint).
    ///
    /// # Cancel safety
    /// As for [`Tx::rewind_to`](crate::Tx::rewind_to).
    pub async fn rewind_to(&self, checkpoint: &TxCheckpoint) -> Result<()> {
        let open = self.held.get();
        let mut checkpoints = self.checkpoints.lock().await;
        let mut connection = open.acquire_for_checkpoint().await?;
        let rewound = checkpoints
            .rewind_to(checkpoint, &mut connection, &open.in_use)
            .await;
        connection.return_to_pool().await;
        rewound
    }

    /// A URL of the database, for `psql` and other drivers. Their sessions are read only and do not
    /// see what the transaction wrote.
    #[must_use]
    pub fn url(&self) -> String {
        self.held.get().in_use.read_only_url()
    }

    /// Checks deferred constraints as a commit would, rolls back, and closes the pool.
    ///
    /// # Errors
    /// As for [`Tx::close`](crate::Tx::close). Also [`StillInUse`](crate::ErrorKind::StillInUse) if
    /// a task that the test started does not release the connection within five seconds. Ebbtide
    /// then ends the connection's session.
    ///
    /// # Cancel safety
    /// If the future is dropped, the close continues in the background.
    pub async fn close(self) -> Result<()> {
        self.held.close().await
    }

    /// Commits what the test wrote and keeps the database, so that a person can inspect it. It
    /// exists for an hour, or for as long as `keep_for` specifies.
    ///
    /// # Errors
    /// The commit fails, for example because of a deferred constraint; the connection is still in
    /// use; or the server is gone.
    ///
    /// # Cancel safety
    /// If the future is dropped, the database may be kept or not.
    pub async fn keep(self) -> Result<KeptDatabase> {
        self.held.keep().await
    }
}

impl Deref for Sandbox {
    type Target = PgPool;

    fn deref(&self) -> &PgPool {
        &self.held.get().pool
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held.fmt_as("Sandbox", "database", f)
    }
}
