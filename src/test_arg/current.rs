//! The test that runs on this thread, and what it may ask for without naming an argument.

use std::cell::RefCell;
use std::pin::Pin;

use super::context::TestContext;
use crate::error::Result;
use crate::harness;
use crate::lane::{Database, Sandbox, Tx, TxOptions};

thread_local! {
    static CURRENT: RefCell<Option<TestContext>> = const { RefCell::new(None) };
}

/// The test that runs here, if the attribute runs it.
pub(crate) fn current() -> Option<TestContext> {
    CURRENT.with_borrow(Clone::clone)
}

/// Does something as a part of a test.
pub(crate) fn during<T>(context: &TestContext, work: impl FnOnce() -> T) -> T {
    /// Also when the work panics.
    struct Back(Option<TestContext>);
    impl Drop for Back {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _back = Back(CURRENT.replace(Some(context.clone())));
    work()
}

/// Awaits something as a part of a test.
pub(crate) async fn poll_during<T>(
    context: &TestContext,
    mut work: Pin<&mut (impl Future<Output = T> + ?Sized)>,
) -> T {
    std::future::poll_fn(|waker| during(context, || work.as_mut().poll(waker))).await
}

/// A transaction from the process's own harness, rolled back when it is closed or dropped.
///
/// In a test with the attribute [`ebbtide::test`](macro@crate::test), the test's fixtures are there, the attribute's
/// `isolation_level` and `savepoints` hold, and the test fails if the transaction cannot be closed well.
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
        None => harness::harness()?.tx().await,
    }
}

/// The same as [`tx()`] with these options, instead of those that the attribute may have.
///
/// # Errors
/// As for [`Harness::tx_with`](crate::Harness::tx_with).
///
/// # Examples
/// ```no_run
/// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
/// use ebbtide::{IsolationLevel, TxOptions};
///
/// let mut tx = ebbtide::tx_with(TxOptions::new().isolation_level(IsolationLevel::RepeatableRead)).await?;
/// let level: String = sqlx::query_scalar("show transaction_isolation").fetch_one(&mut *tx).await?;
/// assert_eq!(level, "repeatable read");
/// # Ok(())
/// # }
/// ```
pub async fn tx_with(options: TxOptions) -> Result<Tx> {
    match current() {
        Some(context) => context.tx_with(options).await,
        None => harness::harness()?.tx_with(options).await,
    }
}

/// A pool on a transaction from the process's own harness, rolled back when it is closed or dropped.
///
/// In a test with the attribute [`ebbtide::test`](macro@crate::test) as for [`tx()`].
///
/// # Errors
/// As for [`Harness::sandbox`](crate::Harness::sandbox).
pub async fn sandbox() -> Result<Sandbox> {
    match current() {
        Some(context) => context.sandbox().await,
        None => harness::harness()?.sandbox().await,
    }
}

/// A database of the test's own from the process's own harness, taken back when it is closed or dropped.
///
/// In a test with the attribute [`ebbtide::test`](macro@crate::test) as for [`tx()`].
///
/// # Errors
/// As for [`Harness::database`](crate::Harness::database).
pub async fn database() -> Result<Database> {
    match current() {
        Some(context) => context.database().await,
        None => harness::harness()?.database().await,
    }
}
