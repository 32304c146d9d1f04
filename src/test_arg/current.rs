//! The test that runs on this thread, and the functions that need no argument: `ebbtide::tx()` and
//! its siblings.
//!
//! The current test is a thread-local that is set only while the test's future is polled. So two
//! tests whose futures share a thread do not see each other's context. A task or thread that the
//! test starts has no context, and uses the process's default harness.

use std::cell::RefCell;
use std::pin::Pin;

use super::context::TestContext;
use crate::error::Result;
use crate::harness::Harness;
use crate::lane::{Database, Sandbox, Tx, TxOptions};

thread_local! {
    static CURRENT: RefCell<Option<TestContext>> = const { RefCell::new(None) };
}

/// The test that runs on this thread, if it has the attribute.
pub(crate) fn current() -> Option<TestContext> {
    CURRENT.with_borrow(Clone::clone)
}

/// Runs `work` as a part of a test.
pub(crate) fn during<T>(context: &TestContext, work: impl FnOnce() -> T) -> T {
    /// Restores the previous test, also when the work panics.
    struct Restore(Option<TestContext>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _restore = Restore(CURRENT.replace(Some(context.clone())));
    work()
}

/// Awaits `work` as a part of a test.
pub(crate) async fn poll_during<T>(
    context: &TestContext,
    mut work: Pin<&mut (impl Future<Output = T> + ?Sized)>,
) -> T {
    std::future::poll_fn(|waker| during(context, || work.as_mut().poll(waker))).await
}

/// A transaction from the process's default harness, which is rolled back when the [`Tx`] is closed
/// or dropped.
///
/// In a test with the attribute [`ebbtide::test`](macro@crate::test), the database has the test's
/// fixtures, and the attribute's `isolation_level` and `savepoints` apply. The test fails if the
/// transaction cannot be closed without an error.
///
/// # Errors
/// As for [`Harness::tx`](crate::Harness::tx).
///
/// # Examples
/// ```no_run
/// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
/// let mut tx = ebbtide::tx().await?;
/// let one: i32 = sqlx::query_scalar("select 1").fetch_one(&mut *tx).await?;
/// # Ok(())
/// # }
/// ```
pub async fn tx() -> Result<Tx> {
    match current() {
        Some(context) => context.tx().await,
        None => Harness::shared()?.tx().await,
    }
}

/// A pool from the process's default harness whose one connection is in a transaction, which is
/// rolled back when the [`Sandbox`] is closed or dropped.
///
/// In a test with the attribute [`ebbtide::test`](macro@crate::test), the database has the test's
/// fixtures. The test fails if the sandbox cannot be closed without an error.
///
/// # Errors
/// As for [`Harness::sandbox`](crate::Harness::sandbox).
pub async fn sandbox() -> Result<Sandbox> {
    match current() {
        Some(context) => context.sandbox().await,
        None => Harness::shared()?.sandbox().await,
    }
}

/// A database from the process's default harness that only this test uses. ebbtide resets it or
/// copies it again when the [`Database`] is closed or dropped.
///
/// In a test with the attribute [`ebbtide::test`](macro@crate::test), the database has the test's
/// fixtures. The test fails if the database cannot be closed without an error.
///
/// # Errors
/// As for [`Harness::database`](crate::Harness::database).
pub async fn database() -> Result<Database> {
    match current() {
        Some(context) => context.database().await,
        None => Harness::shared()?.database().await,
    }
}

impl TxOptions {
    /// Opens a transaction like [`tx()`](crate::tx()), with these options instead of the attribute's.
    ///
    /// # Errors
    /// As for [`Harness::tx_with`](crate::Harness::tx_with).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
    /// use ebbtide::TxOptions;
    /// use ebbtide::config::IsolationLevel;
    ///
    /// let options = TxOptions::new().isolation_level(IsolationLevel::RepeatableRead);
    /// let mut tx = options.open().await?;
    /// let show = "show transaction_isolation";
    /// let level: String = sqlx::query_scalar(show).fetch_one(&mut *tx).await?;
    /// assert_eq!(level, "repeatable read");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(self) -> Result<Tx> {
        match current() {
            Some(context) => context.tx_with(self).await,
            None => Harness::shared()?.tx_with(self).await,
        }
    }
}
