//! Options for the transaction of a `Tx`.

use crate::config::IsolationLevel;

/// Options for the transaction of a [`Tx`](crate::Tx). [`open`](Self::open) opens one on the
/// process's default harness, and [`Harness::tx_with`](crate::Harness::tx_with) on another.
///
/// # Examples
/// ```no_run
/// # async fn test() -> ebbtide::Result<()> {
/// use ebbtide::TxOptions;
/// use ebbtide::config::IsolationLevel;
///
/// let options = TxOptions::new()
///     .isolation_level(IsolationLevel::Serializable)
///     .savepoints();
/// let tx = options.open().await?;
/// # tx.close().await
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TxOptions {
    isolation_level: Option<IsolationLevel>,
    savepoints: bool,
}

impl TxOptions {
    /// The options of [`Harness::tx`](crate::Harness::tx).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the transaction with this level, instead of the server's default.
    ///
    /// Nothing else commits on the test's database. So the level only matters if the test opens
    /// another connection to [`Tx::url`](crate::Tx::url), or if the code under test reads the
    /// level.
    #[must_use]
    pub fn isolation_level(self, level: IsolationLevel) -> Self {
        Self {
            isolation_level: Some(level),
            ..self
        }
    }

    /// Lets a failed statement undo only itself, as it would without a transaction. The test can
    /// continue after it.
    ///
    /// This applies to every statement sent over the connection, except within the application's
    /// own transactions. From `begin()` (or a `SAVEPOINT` in SQL) to its end, a failed statement
    /// makes PostgreSQL reject all others, as usual. A string of several statements counts as one
    /// statement, unless it ends the transaction.
    ///
    /// Each statement runs in a savepoint
    /// (<https://www.postgresql.org/docs/current/sql-savepoint.html>). A relay in this process sets
    /// it, and the connection goes through that relay. A very short statement takes up to twice as
    /// long, and the transaction needs a new connection, which takes some milliseconds. The last
    /// statement in `pg_stat_activity` is often the relay's. A relay cannot use an encrypted
    /// connection: see [`Harness::tx_with`](crate::Harness::tx_with).
    #[must_use]
    pub fn savepoints(self) -> Self {
        Self {
            savepoints: true,
            ..self
        }
    }

    pub(super) fn level(self) -> Option<IsolationLevel> {
        self.isolation_level
    }

    pub(super) fn has_savepoints(self) -> bool {
        self.savepoints
    }
}
