//! What an argument needs of a server, as far as its type shows it.

/// What an argument of a type needs, so that a test can wait for all of its arguments at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaneNeed {
    /// One connection: a `Tx` or a `Sandbox`.
    Connection,
    /// A database of its own.
    Database,
    /// The one pool of all arguments of sqlx's types of one plan.
    Pool,
    /// A type of the user's, which counts as a database.
    Unknown,
}
