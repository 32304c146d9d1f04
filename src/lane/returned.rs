//! Takes back a lane whose test was rolled back, and undoes what a rollback does not undo.
//!
//! ```text
//!  rolled back
//!    |-- another client was connected ---------------------> recopy, awaited
//!    |-- a URL of the lane was read -----------------------> recopy in the background
//!    |-- the planner's inputs differ from the template's --> empty_files_later: reset or recopy
//!    +-- otherwise ----------------------------------------> put_back; before that, a session
//!                                                            that differs from a new one ends
//! ```

use super::admission::Admission;
use super::leased::Lane;
use super::pool::LanePool;
use crate::error::Result;
use crate::guard::{self, Remains};
use crate::lane_lock::LaneState;

impl LanePool {
    /// Puts the lane back if it equals the template, and otherwise has it reset or copied again.
    ///
    /// Another client that was connected may have committed, also something that tests on other
    /// databases see. So the test's end waits for the copy, which drops that database. All other
    /// work happens in the background, because the next test can use another lane meanwhile.
    ///
    /// # Errors
    /// The server is gone.
    pub(super) async fn put_back_after_rollback(
        &self,
        mut lane: Lane,
        remains: Remains,
    ) -> Result<()> {
        let may_have_grown = lane.count_rollback(remains.dead_rows);
        let is_worn = lane.is_worn();
        if remains.other_client {
            tracing::debug!(
                database = lane.database.as_str(),
                "another client was connected: the lane is copied again"
            );
            self.recopy_or_leave(lane).await;
            return Ok(());
        }
        if lane.has_url() {
            // A client that later reconnects with the URL of this test must not reach the next
            // test's database.
            self.recopy_later(lane);
            return Ok(());
        }
        if let Some(connection) = &mut lane.connection {
            let connection = connection.get();
            if (remains.estimates_changed || may_have_grown)
                && !guard::estimates_are_unchanged(connection)
                    .await
                    .map_err(|error| self.diagnose(CLOSE_STEP, error))?
            {
                self.empty_files_later(lane);
                return Ok(());
            }
            // A worn lane is not marked as clean, so it is copied again.
            if let Some(holder) = lane.lock.holder().filter(|_| !is_worn) {
                guard::mark_clean(connection, holder)
                    .await
                    .map_err(|error| self.diagnose(CLOSE_STEP, error))?;
            }
        }
        if remains.session_changed {
            // No command resets what differs, so the session ends and the next test opens a new
            // one.
            lane.connection = None;
        }
        self.put_back(lane)
    }

    /// Empties the files that have grown, in the background. If the lane does not equal the
    /// template after that, it is copied again.
    fn empty_files_later(&self, mut lane: Lane) {
        let pool = self.clone();
        self.setting().runtime.spawn(async move {
            if lane.is_worn() || !pool.empty_files(&mut lane).await {
                return pool.recopy_or_leave(lane).await;
            }
            // It may be a session of the role that resets.
            lane.connection = None;
            lane.count_commit();
            if let Err(error) = pool.put_back(lane) {
                tracing::debug!(?error, "a lane is left for the next test to copy");
            }
        });
    }

    /// Copies the lane again in the background.
    pub(super) fn recopy_later(&self, lane: Lane) {
        let pool = self.clone();
        self.setting()
            .runtime
            .spawn(async move { pool.recopy_or_leave(lane).await });
    }

    /// Copies the lane again. If the copy fails, the lane keeps its mark, and the next test that
    /// locks the lane copies it.
    async fn recopy_or_leave(&self, lane: Lane) {
        if let Err(error) = self.recopy(lane).await {
            tracing::debug!(?error, "a lane is left for the next test to copy");
        }
    }

    /// Copies the lane again, marks it as equal and unlocks it.
    pub(super) async fn recopy(&self, mut lane: Lane) -> Result<()> {
        lane.connection = None;
        // The copy uses the process's own connection, so the lane's permits are free for other
        // tests.
        lane.admission = Admission::default();
        let database = self.copy(lane.lock.number()).await?;
        lane.lock.mark(LaneState::Equal, 0, &database)?;
        self.release(lane);
        Ok(())
    }
}

const CLOSE_STEP: &str = "closing the test's transaction";
