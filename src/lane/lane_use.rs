//! How a test uses its lane, and how many lanes may be used so.

use std::ops::Range;

use crate::lane_lock::LaneState;
use crate::test_error_help::Isolation;

/// Lanes of one fingerprint on one server. Further tests wait for each other.
pub(super) const MAX_LANES: usize = 64;
/// Lanes that may be in use as a `Database`. The limit is lower because each may open several
/// connections.
const MAX_DATABASES: usize = 32;
/// The numbers of lanes that hold the state of another lane: forks and checkpoints. A search for a
/// lane that equals the template stays below them.
pub(super) const STATE_COPY_NUMBERS: Range<usize> = MAX_LANES..512;
/// The size of a fork's pool.
const MAX_FORK_CONNECTIONS: usize = 2;
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
    /// As `Whole`, for a copy of another lane's state. It is dropped after its use.
    Fork,
}

impl LaneUse {
    /// The public type through which a test uses the lane so.
    pub(super) fn public_type(self) -> &'static str {
        match self {
            Self::Transaction | Self::Relayed => "Tx",
            Self::Sandbox => "Sandbox",
            Self::Whole | Self::Fork => "Database",
        }
    }

    /// How many connections the test may open. `capacity` is what the server has for tests.
    pub(super) fn max_connections(self, capacity: usize) -> usize {
        match self {
            Self::Transaction | Self::Sandbox | Self::Relayed => 1,
            Self::Whole => (MAX_POOL_CONNECTIONS + 1).min(capacity),
            Self::Fork => MAX_FORK_CONNECTIONS.min(capacity),
        }
    }

    /// How many of the connections ebbtide needs for the lane's own session. A fork has no such
    /// session, because it is never reset.
    pub(super) fn own_connections(self) -> u32 {
        match self {
            Self::Transaction | Self::Sandbox | Self::Relayed | Self::Whole => 1,
            Self::Fork => 0,
        }
    }

    pub(super) fn max_lanes(self) -> usize {
        match self {
            Self::Transaction | Self::Sandbox | Self::Relayed => MAX_LANES,
            Self::Whole => MAX_DATABASES,
            Self::Fork => STATE_COPY_NUMBERS.end,
        }
    }

    /// The state to record before the test's first statement, for the case that this process is
    /// killed. The next process copies an `Unknown` lane and resets a `UsedWhole` one.
    pub(super) fn state_in_use(self) -> LaneState {
        match self {
            Self::Transaction | Self::Sandbox | Self::Relayed => LaneState::Unknown,
            Self::Whole | Self::Fork => LaneState::UsedWhole,
        }
    }

    /// The isolation that help for the test's errors depends on.
    pub(super) fn isolation(self) -> Isolation {
        match self {
            Self::Transaction | Self::Relayed => Isolation::Transaction,
            Self::Sandbox => Isolation::Sandbox,
            Self::Whole | Self::Fork => Isolation::Database,
        }
    }
}
