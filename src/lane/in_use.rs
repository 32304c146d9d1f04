//! A lane that a test uses.

use super::lane_use::LaneUse;
use super::leased::Lane;
use super::pool::LanePool;
use crate::error::Result;

/// A lane that a test uses, with the pool to which it returns.
pub(super) struct LaneInUse {
    pub(super) lanes: LanePool,
    pub(super) lane: Lane,
    pub(super) test: String,
    pub(super) lane_use: LaneUse,
}

impl LaneInUse {
    /// A URL of the lane's database whose sessions are read only.
    pub(super) fn read_only_url(&self) -> String {
        self.lane.read_only_url(&self.lanes.setting().conn)
    }

    /// Copies the lane again, whose database another client has dropped.
    pub(super) async fn restore_missing(&mut self) -> Result<()> {
        self.lanes
            .restore_missing(&mut self.lane, self.lane_use, &self.test)
            .await
    }
}
