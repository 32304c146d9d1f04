//! What a test may want of its transaction.

/// What [`Harness::tx_with`](crate::Harness::tx_with) and its siblings make of a [`Tx`](crate::Tx).
///
/// # Examples
/// ```no_run
/// # async fn test() -> ebbtide::Result<()> {
/// use ebbtide::{IsolationLevel, TxOptions};
///
/// let tx = ebbtide::tx_with(TxOptions::new().isolation_level(IsolationLevel::Serializable).savepoints()).await?;
/// # tx.close().await
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TxOptions {
    isolation_level: Option<IsolationLevel>,
    savepoints: bool,
}

/// How much a transaction sees of others that commit meanwhile
/// (<https://www.postgresql.org/docs/current/transaction-iso.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IsolationLevel {
    /// Each statement sees what was committed before it began.
    ReadCommitted,
    /// All statements see what was committed before the first of them began.
    RepeatableRead,
    /// The same, and what the transactions do could have been done one after the other.
    Serializable,
}

impl TxOptions {
    /// A transaction as [`Harness::tx`](crate::Harness::tx) gives it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the transaction with this level, instead of the server's default.
    ///
    /// Nothing else commits on the test's database, so the level counts where the test opens another connection to
    /// [`Tx::url`](crate::Tx::url), and for code that asks which level it runs at.
    #[must_use]
    pub fn isolation_level(self, level: IsolationLevel) -> Self {
        Self {
            isolation_level: Some(level),
            ..self
        }
    }

    /// Lets a statement that fails undo only itself, as it would without a transaction, so that the next one can follow
    /// it.
    ///
    /// It holds for whatever is sent through the connection, outside the application's own transactions. Within one, from
    /// `begin()` (or a `SAVEPOINT` in SQL) to its end, a failed statement makes PostgreSQL refuse all others, as it
    /// always does there. A string of several statements is one statement here, unless it ends the transaction.
    ///
    /// Each statement then runs in a savepoint (<https://www.postgresql.org/docs/current/sql-savepoint.html>), set by a
    /// relay in this process that the connection goes through. A very short statement takes up to twice as long, and the
    /// transaction costs a connection of its own, some milliseconds. The last statement in `pg_stat_activity` is often the
    /// relay's. An encrypted connection cannot be relayed: see [`Harness::tx_with`](crate::Harness::tx_with).
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

impl IsolationLevel {
    /// As `BEGIN ISOLATION LEVEL` wants it.
    pub(super) fn as_sql(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }
}
