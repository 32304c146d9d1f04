//! A pool whose one connection is inside a guarded transaction.

use std::fmt;
use std::ops::Deref;

use sqlx::postgres::PgPool;

use super::checkout::{Checkout, OPEN_UNTIL_CONSUMED, OnDrop};
use super::kept::KeptDatabase;
use super::lane_use::LaneUse;
use super::open_sandbox::OpenSandbox;
use super::pool::LanePool;
use crate::error::Result;

/// A [`PgPool`] with one connection, inside a transaction that is rolled back. Code under test can
/// begin, commit and roll back transactions.
///
/// It dereferences to [`PgPool`], so `sandbox.clone()` is a pool for the application. The
/// application's transactions are savepoints. A statement that fails outside of them undoes only
/// itself, as it would without a transaction. What was written is rolled back when the value is
/// closed or dropped.
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
/// As for [`Tx`](crate::Tx). Handles of the pool that still exist are closed.
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
    // None only while `close`, `keep` or `drop` takes it away.
    open: Option<OpenSandbox>,
    on_drop: OnDrop,
}

impl Sandbox {
    #[tracing::instrument(name = "sandbox.open", level = "debug", skip_all)]
    pub(crate) async fn open(lanes: &LanePool, test: &str, on_drop: OnDrop) -> Result<Self> {
        let lane = lanes.acquire(test, LaneUse::Sandbox).await?;
        let (pool, name) = (lanes.clone(), test.to_owned());
        // A connection cannot be used after the runtime that opened it has ended, and the test's
        // runtime may have ended when the transaction is closed.
        let open = lanes
            .in_background(OpenSandbox::open(pool, lane, name))
            .await?;
        Ok(Self {
            open: Some(open),
            on_drop,
        })
    }

    /// A URL of the database, for `psql` and other drivers. Their sessions are read only and do not
    /// see what the transaction wrote.
    #[must_use]
    pub fn url(&self) -> String {
        let open = self.get();
        open.lane.read_only_url(&open.lanes.setting().conn)
    }

    /// Checks deferred constraints as a commit would, rolls back, and closes the pool.
    ///
    /// # Errors
    /// As for [`Tx::close`](crate::Tx::close). Also
    /// [`StillInUse`](crate::ErrorKind::StillInUse) if a task that the test started does not
    /// release the connection within five seconds. Its session is ended then.
    ///
    /// # Cancel safety
    /// If the future is dropped, the close continues in the background.
    pub async fn close(mut self) -> Result<()> {
        self.take().close().await
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
    pub async fn keep(mut self) -> Result<KeptDatabase> {
        self.take().keep().await
    }

    fn take(&mut self) -> OpenSandbox {
        self.open.take().expect(OPEN_UNTIL_CONSUMED)
    }

    fn get(&self) -> &OpenSandbox {
        self.open.as_ref().expect(OPEN_UNTIL_CONSUMED)
    }
}

impl Deref for Sandbox {
    type Target = PgPool;

    fn deref(&self) -> &PgPool {
        &self.get().pool
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("test", &self.open.as_ref().map(|open| &open.test))
            .field(
                "database",
                &self.open.as_ref().map(|open| open.lane.database.as_str()),
            )
            .finish_non_exhaustive()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.on_drop.apply(Checkout::Sandbox(open));
        }
    }
}
