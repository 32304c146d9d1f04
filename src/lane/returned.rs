//! Takes back a lane whose test was rolled back, and undoes what a rollback does not undo.

use super::admission::Admission;
use super::guard::{self, Remains};
use super::leased::Lane;
use super::pool::LanePool;
use crate::error::Result;
use crate::lane_lock::LaneState;

impl LanePool {
    /// Makes the lane ready for its next test, or gives it up: then it is copied again before its next use.
    ///
    /// # Errors
    /// The server went away.
    pub(super) async fn take_back(&self, mut lane: Lane, remains: Remains) -> Result<()> {
        let may_have_grown = lane.rolled_back(remains.rows);
        let is_worn = lane.is_worn();
        if remains.intruder {
            // It may have left something that tests on other databases see.
            tracing::debug!(
                database = lane.database.as_str(),
                "another client was connected: the lane is given up"
            );
            self.refill_or_leave(lane).await;
            return Ok(());
        }
        if lane.is_known() {
            // A client that connects again with the URL of this test must find no database.
            self.refill_later(lane);
            return Ok(());
        }
        if let Some(connection) = &mut lane.connection {
            let connection = connection.get();
            if (remains.estimates || may_have_grown)
                && !guard::proves_estimates(connection)
                    .await
                    .map_err(|error| self.diagnose(STEP, error))?
            {
                self.empty_later(lane);
                return Ok(());
            }
            // A worn lane is not called clean, so it is copied again.
            if let Some(holder) = lane.lease.holder().filter(|_| !is_worn) {
                guard::leave(connection, holder)
                    .await
                    .map_err(|error| self.diagnose(STEP, error))?;
            }
        }
        if remains.session {
            // Its end is the end of what no command resets. The next test gets a new one.
            lane.connection = None;
        }
        self.put_back(lane)
    }

    /// Empties the files that have grown, in the background, and copies the lane again if that does not do.
    fn empty_later(&self, mut lane: Lane) {
        let pool = self.clone();
        self.setting().runtime.spawn(async move {
            if lane.is_worn() || !pool.empty_files(&mut lane).await {
                return pool.refill_or_leave(lane).await;
            }
            // It has loaded the language of procedures: the next test gets a new session.
            lane.connection = None;
            lane.committed();
            if let Err(error) = pool.put_back(lane) {
                tracing::debug!(?error, "a lane is left for the next test to copy");
            }
        });
    }

    /// Copies the lane again in the background.
    pub(super) fn refill_later(&self, lane: Lane) {
        let pool = self.clone();
        self.setting()
            .runtime
            .spawn(async move { pool.refill_or_leave(lane).await });
    }

    /// Copies the lane again. If that fails, the next test does it.
    async fn refill_or_leave(&self, lane: Lane) {
        if let Err(error) = self.refill(lane).await {
            tracing::debug!(?error, "a lane is left for the next test to copy");
        }
    }

    /// Copies the lane again, ready for the next test.
    pub(super) async fn refill(&self, mut lane: Lane) -> Result<()> {
        lane.connection = None;
        // Copying takes the connection that this process has for its own work.
        lane.admission = Admission::default();
        let database = self.copy(lane.lease.number()).await?;
        lane.lease.mark(LaneState::Equal, 0, &database)?;
        self.freed(lane);
        Ok(())
    }
}

const STEP: &str = "closing the test's transaction";
