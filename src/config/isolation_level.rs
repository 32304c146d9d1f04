//! The isolation level of a test's transaction.

/// What a transaction sees of other transactions that commit while it runs
/// (<https://www.postgresql.org/docs/current/transaction-iso.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IsolationLevel {
    /// Each statement sees what was committed before it began.
    ReadCommitted,
    /// All statements see what was committed before the first of them began.
    RepeatableRead,
    /// Like `RepeatableRead`. In addition, the result is the same as if the transactions had run
    /// one after the other.
    Serializable,
}

impl IsolationLevel {
    /// The level as written after `BEGIN ISOLATION LEVEL`.
    pub(crate) fn as_sql(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }
}
