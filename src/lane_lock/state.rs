//! The state of a lane's database, as its lock records it.

/// How a lane's database compares to the template.
///
/// The holder of the lane lock changes the state *before* the statement that may make it wrong, and
/// sets [`Equal`](Self::Equal) only *after* the database is equal. A holder that is killed at any
/// moment leaves a state that is true or too cautious.
///
/// ```text
///                copied, or the test was closed properly
///   Unknown ----------------------------------------------> Equal
///           <----------------------------------------------
///                a `Tx` or a `Sandbox` begins               |   ^
///                                                           |   |
///                                      a `Database` begins  |   |  reset, or copied
///                                                           v   |
///                                                         UsedWhole
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneState {
    /// It equals the template.
    Equal,
    /// A test has or had the whole database. A reset may make it equal.
    UsedWhole,
    /// It may have any contents, or be missing. Only a copy makes it equal.
    Unknown,
}
