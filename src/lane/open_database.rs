//! A lane that a test uses as a whole database, and what happens to it when the test ends.
//!
//! ```text
//! in use
//!   | close or drop: the pool is closed
//!   |-- worn: recopy in the background
//!   v
//! reset: other sessions end, the database gets a new name, rows are restored
//!   |-- proved equal: put_back
//!   |-- not proved equal: recopy in the background
//!   +-- error: recopy, awaited
//! ```

use std::sync::OnceLock;
use std::time::Duration;

use sqlx::postgres::PgPool;

use super::kept::{self, KeptDatabase};
use super::leased::{Lane, LaneConnection};
use super::pool::LanePool;
use super::report::TestReport;
use crate::error::Result;
use crate::test_error_help::Isolation;

/// How long the test's own tasks may still use the pool's connections after its end.
const POOL_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A lane that a test uses as a whole database.
pub(crate) struct OpenDatabase {
    pub(super) lanes: LanePool,
    pub(super) lane: Lane,
    pub(super) test: String,
    pub(super) url: String,
    pub(super) pool: OnceLock<PgPool>,
}

impl OpenDatabase {
    pub(super) async fn close(self) -> Result<()> {
        let lanes = self.lanes.clone();
        lanes.in_background(self.return_lane()).await
    }

    /// Gives the lane back to the pool, reset or for a new copy. Runs on the background runtime,
    /// because the test's runtime may end at any time.
    async fn return_lane(mut self) -> Result<()> {
        self.close_pool().await;
        self.lane.admission.shrink();
        let lanes = self.lanes.clone();
        let is_worn = self.lane.is_worn_by_commits();
        let reset = if is_worn {
            Ok(false)
        } else {
            self.reset().await
        };
        match reset {
            Ok(true) => {
                self.lane.count_commit();
                lanes.put_back(self.lane)
            }
            Ok(false) => {
                lanes.recopy_later(self.lane);
                Ok(())
            }
            // The test may have dropped the database or ended ebbtide's session. If instead the
            // server is gone, the copy fails and reports that.
            Err(_) => lanes.recopy(self.lane).await,
        }
    }

    /// Resets the lane. Returns whether it is proved equal to the template.
    async fn reset(&mut self) -> Result<bool> {
        let lane = &mut self.lane;
        let connection = if let Some(connection) = lane.connection.take() {
            connection.into_inner()
        } else {
            // The lane was newly copied, or there was no permit for its own connection.
            lane.session_database = lane.database.clone();
            self.lanes
                .connect_to_lane(&lane.database, &self.test)
                .await?
        };
        let reset = self
            .lanes
            .reset(&lane.lock, connection, &mut lane.database)
            .await?;
        lane.connection = reset.map(LaneConnection::New);
        Ok(lane.connection.is_some())
    }

    pub(super) fn report(&self) -> TestReport {
        TestReport::of(&self.lanes, &self.lane, Isolation::Database)
    }

    pub(super) async fn keep(mut self) -> Result<KeptDatabase> {
        self.close_pool().await;
        let mut connection = match self.lane.connection.take() {
            Some(connection) => connection.into_inner(),
            None => {
                self.lanes
                    .connect_to_lane(&self.lane.database, &self.test)
                    .await?
            }
        };
        self.lanes
            .end_others(&mut connection)
            .await
            .map_err(|error| self.lanes.diagnose(kept::KEEP_STEP, error))?;
        kept::keep(&self.lanes, self.lane, connection).await
    }

    #[expect(clippy::print_stderr, reason = "a failure report")]
    async fn close_pool(&self) {
        let Some(pool) = self.pool.get() else { return };
        if tokio::time::timeout(POOL_CLOSE_TIMEOUT, pool.close())
            .await
            .is_err()
        {
            eprintln!(
                "ebbtide: test {} is over, and something that it started still uses its pool: \
                 these sessions are ended now (end or await the task that holds them)",
                self.test
            );
        }
    }
}
