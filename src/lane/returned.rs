//! Takes back a lane whose test was rolled back, and undoes what a rollback does not undo.

use super::guard::{self, Remains};
use super::leased::Lane;
use super::pool::LanePool;
use crate::error::Result;

impl LanePool {
    /// Makes the lane ready for its next test, or gives it up: then it stays marked as in use, so that it is copied again
    /// before its next use.
    ///
    /// # Errors
    /// The server went away.
    pub(super) async fn take_back(&self, mut lane: Lane, remains: Remains) -> Result<()> {
        let may_have_grown = lane.rolled_back(remains.rows);
        let is_worn = lane.is_worn();
        if remains.intruder {
            tracing::debug!(database = lane.database.as_str(), "another client was connected: the lane is given up");
            self.freed(lane);
            return Ok(());
        }
        if let Some(connection) = &mut lane.connection {
            let connection = connection.get();
            if (remains.estimates || may_have_grown)
                && !guard::restore_estimates(connection).await.map_err(|error| self.explain(STEP, error))?
            {
                self.freed(lane);
                return Ok(());
            }
            // A worn lane is not called clean, so it is copied again.
            if let Some(holder) = lane.lease.holder().filter(|_| !is_worn) {
                guard::leave(connection, holder).await.map_err(|error| self.explain(STEP, error))?;
            }
        }
        if remains.session {
            // Its end is the end of what no command resets. The next test gets a new one.
            lane.connection = None;
        }
        self.put_back(lane)
    }
}

const STEP: &str = "closing the test's transaction";
