//! As which role a session logs in to a lane.

/// As which role a session logs in to a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Login {
    /// The role of tests.
    Test,
    /// The role that administers the server, which is also that of tests unless the plan names one.
    Administrator,
}
