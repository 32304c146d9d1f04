//! The permits that a test holds, and its place among the tests that wait for them.

use std::time::Duration;

use crate::lane_lock::{CollectingTurn, Permit, Permits, UsageEntry};

/// How long all tests that hold connections may wait for more, before a test fails.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The permits of a test, for as long as it has its lane.
#[derive(Debug, Default)]
pub(super) struct Admission {
    pub(super) permits: Vec<Permit>,
    /// Held until a lane is locked, so that tests also get lanes in the order of their arrival.
    pub(super) turn: Option<CollectingTurn>,
    /// Held until the test has its lane. If other programs use connections, the server may reject
    /// one in spite of the permit. So a test with permits still counts as waiting.
    pub(super) waiting: Option<UsageEntry>,
    /// Held while the test has its lane.
    pub(super) holding: Option<UsageEntry>,
}

impl Admission {
    /// Records that the test has its lane.
    pub(super) fn complete(&mut self, permits: &Permits, test: &str) {
        // A test that found an idle lane still has the turn. One that locked a lane has ended it.
        self.end_turn();
        // From now on the test can end and release its permits.
        self.waiting = None;
        self.holding = Some(permits.holding(test));
    }

    /// Lets the next test collect permits.
    pub(super) fn end_turn(&mut self) {
        self.turn = None;
    }

    /// The size of the pool of a `Database`. If there are enough permits, `own` of them are for the
    /// lane's own connection.
    pub(super) fn pool_connections(&self, own: u32) -> u32 {
        // A single permit is for the pool. `OpenDatabase` then closes the lane's own connection.
        let all = u32::try_from(self.permits.len()).unwrap_or(u32::MAX);
        all.saturating_sub(own).max(1)
    }

    /// Whether there is a permit for the lane's own connection beside the test's.
    pub(super) fn has_spare_connection(&self) -> bool {
        self.permits.len() > 1
    }

    /// Returns all permits but one, which is for the lane's own connection. Called when the test
    /// has ended.
    pub(super) fn shrink(&mut self) {
        // A test of a whole database also had permits for its pool, which is closed by now.
        self.permits.truncate(1);
    }

    /// Records that no test has the lane.
    pub(super) fn become_idle(&mut self) {
        self.shrink();
        self.holding = None;
    }
}
