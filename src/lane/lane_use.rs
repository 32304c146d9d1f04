//! How a test uses its lane, and how many lanes may be used so.

use crate::lane_lock::LaneState;
use crate::test_error_help::Isolation;

/// Lanes of one fingerprint on one server. Further tests wait for each other.
pub(super) const MAX_LANES: usize = 64;
/// Lanes that may be in use as a `Database`. The limit is lower because each may open several
/// connections.
const MAX_DATABASES: usize = 32;
/// The size of a `Database` test's pool, as in `#[sqlx::test]`.
const MAX_POOL_CONNECTIONS: usize = 5;

/// How a test uses its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneUse {
    /// A guarded transaction on the lane's connection.
    Transaction,
    /// A guarded transaction on a connection that the sandbox's pool opens.
    Sandbox,
    /// A guarded transaction on a connection that goes through a relay.
    Relayed,
    /// The whole database, with real commits.
    Whole,
}

impl LaneUse {
    /// The public type through which a test uses the lane so.
    pub(super) fn public_type(self) -> &'static str {
        match self {
            Self::Transaction | Self::Relayed => "Tx",
            Self::Sandbox => "Sandbox",
            Self::Whole => "Database",
        }
    }

    /// How many connections the test may open. `capacity` is what the server has for tests.
    pub(super) fn max_connections(self, capacity: usize) -> usize {
        match self {
            Self::Transaction | Self::Sandbox | Self::Relayed => 1,
            Self::Whole => (MAX_POOL_CONNECTIONS + 1).min(capacity),
        }
    }

    pub(super) fn max_lanes(self) -> usize {
        match self {
            Self::Transaction | Self::Sandbox | Self::Relayed => MAX_LANES,
            Self::Whole => MAX_DATABASES,
        }
    }

    /// The state to record before the test's first statement, for the case that this process is
    /// killed. The next process copies an `Unknown` lane and resets a `UsedWhole` one.
    pub(super) fn state_in_use(self) -> LaneState {
        match self {
            Self::Transaction | Self::Sandbox | Self::Relayed => LaneState::Unknown,
            Self::Whole => LaneState::UsedWhole,
        }
    }

    /// The isolation that help for the test's errors depends on.
    pub(super) fn isolation(self) -> Isolation {
        match self {
            Self::Transaction | Self::Relayed => Isolation::Transaction,
            Self::Sandbox => Isolation::Sandbox,
            Self::Whole => Isolation::Database,
        }
    }
}
