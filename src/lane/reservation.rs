//! The permits for several lanes of one test, collected before the test opens the first of them.
//!
//! ```text
//!  a test with three databases on two servers:
//!    server A: permits for two lanes  -->  server B: permits for one lane  -->  the three lanes
//! ```
//!
//! Suppose that each of two tests had one database and then waited for permits for its second. Each
//! could wait for the other for ever. So a test that will have several lanes collects all of its
//! permits of a server at once, as one lane does. It waits for the permits of a second server while
//! it holds those of the first. That is safe, because all tests take the servers in one order: of
//! all tests that wait, the one at the last server waits only for tests that have everything.

use std::sync::{Arc, Mutex, PoisonError};

use super::admission::Admission;
use super::lane_use::LaneUse;
use super::pool::LanePool;
use crate::error::Result;
use crate::lane_lock::{Permit, Permits, UsageEntry};

/// Permits of one server that a test has for lanes which it has not opened yet.
#[derive(Debug)]
pub(crate) struct Reservation {
    server: Arc<Permits>,
    permits: Mutex<Vec<Permit>>,
    /// How many permits one lane may take, so that some are left for the others.
    share: usize,
    /// The test does not count as waiting for more: it has what it needs.
    _holding: UsageEntry,
}

impl Reservation {
    pub(crate) fn is_for(&self, lanes: &LanePool) -> bool {
        Arc::ptr_eq(&self.server, lanes.permits())
    }

    /// The admission of one lane; `None` if no permit is left. Then the lane is admitted like that
    /// of any other test.
    pub(super) fn admission(&self, test: &str, lane_use: LaneUse) -> Option<Admission> {
        let wanted = lane_use.max_connections(self.server.capacity());
        let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        let count = wanted.min(self.share).min(permits.len());
        let left = permits.len() - count;
        let taken = permits.split_off(left);
        drop(permits);
        (!taken.is_empty()).then(|| Admission {
            permits: taken,
            turn: None,
            waiting: Some(self.server.waiting(test)),
            holding: None,
        })
    }
}

impl LanePool {
    /// Collects the permits for several lanes on this pool's server: `databases` that are used
    /// whole, and `others`.
    ///
    /// If the server has fewer connections, each lane gets an equal share, and at least one.
    ///
    /// # Errors
    /// As for [`admit`](Self::admit).
    pub(crate) async fn reserve(
        &self,
        test: &str,
        databases: usize,
        others: usize,
    ) -> Result<Reservation> {
        let capacity = self.permits().capacity();
        let of_database = LaneUse::Whole.max_connections(capacity);
        let share = if databases * of_database + others <= capacity {
            of_database
        } else {
            (capacity / (databases + others)).max(1)
        };
        let wanted = databases * of_database.min(share) + others;
        let admission = self.admit(test, wanted.min(capacity)).await?;
        Ok(Reservation {
            server: Arc::clone(self.permits()),
            _holding: self.permits().holding(test),
            permits: Mutex::new(admission.permits),
            share,
        })
    }

    /// The place of this pool's server in the order in which tests take servers.
    pub(crate) fn server_order(&self) -> &str {
        self.permits().server()
    }

    /// Whether the two pools are on one server, so that their lanes need permits of one kind.
    pub(crate) fn shares_permits_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.permits(), other.permits())
    }
}
