//! The ways in which a test uses a lane. Each is an argument of the test, a method of the context,
//! and a function such as `ebbtide::tx()`.

use super::TestArg;
use super::context::TestContext;
use super::current::current;
use super::lane_need::LaneNeed;
use crate::error::Result;
use crate::harness::Harness;
use crate::lane::{Database, Sandbox, Tx, TxOptions};

/// Rolled back at the test's end. The attribute's `isolation_level` and `savepoints` apply to it.
impl TestArg for Tx {
    const NEED: LaneNeed = LaneNeed::Connection;

    async fn from_test(context: &TestContext) -> Result<Self> {
        context.tx().await
    }
}

/// Rolled back at the test's end.
impl TestArg for Sandbox {
    const NEED: LaneNeed = LaneNeed::Connection;

    async fn from_test(context: &TestContext) -> Result<Self> {
        context.sandbox().await
    }
}

/// Each argument of this type is another database.
impl TestArg for Database {
    const NEED: LaneNeed = LaneNeed::Database;

    async fn from_test(context: &TestContext) -> Result<Self> {
        context.database().await
    }
}

impl TestContext {
    /// A transaction that is rolled back, with the attribute's `isolation_level` and `savepoints`.
    ///
    /// # Errors
    /// As for [`Harness::tx_with`].
    pub async fn tx(&self) -> Result<Tx> {
        self.tx_with(self.tx_options()).await
    }

    /// A transaction that is rolled back, with these options instead of the attribute's.
    ///
    /// # Errors
    /// As for [`Harness::tx_with`].
    pub async fn tx_with(&self, options: TxOptions) -> Result<Tx> {
        Tx::open(self.lane_request().await?, options).await
    }

    /// A pool whose one connection is in a transaction that is rolled back.
    ///
    /// # Errors
    /// As for [`Harness::sandbox`].
    pub async fn sandbox(&self) -> Result<Sandbox> {
        Sandbox::open(self.lane_request().await?).await
    }

    /// A database of the test's own. Each call returns another one.
    ///
    /// # Errors
    /// As for [`Harness::database`].
    pub async fn database(&self) -> Result<Database> {
        Database::open(self.lane_request().await?).await
    }
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
