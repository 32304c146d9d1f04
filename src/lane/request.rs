//! A test's request for a lane.

use std::sync::Arc;

use super::checkout::OnDrop;
use super::in_use::LaneInUse;
use super::lane_use::LaneUse;
use super::pool::LanePool;
use super::reservation::Reservation;
use crate::error::Result;

/// A test's request for a lane, in whatever way the test uses it.
#[derive(Debug)]
pub(crate) struct LaneRequest {
    pub(crate) lanes: LanePool,
    /// The test's name.
    pub(crate) test: String,
    /// The permits that the test has for this lane and others.
    pub(crate) reservation: Option<Arc<Reservation>>,
    pub(crate) on_drop: OnDrop,
}

impl LaneRequest {
    /// # Errors
    /// As for [`LanePool::acquire`].
    pub(super) async fn acquire(&self, lane_use: LaneUse) -> Result<LaneInUse> {
        let reservation = self.reservation.as_deref();
        // Boxed: rustc computes the layouts of nested futures up to a limited depth, and the futures
        // of code that opens a lane are nested further.
        let acquired = Box::pin(self.lanes.acquire(&self.test, lane_use, reservation)).await;
        // The template's failure is the same error for every test.
        let lane = acquired.map_err(|error| error.for_test(&self.test))?;
        Ok(LaneInUse {
            lanes: self.lanes.clone(),
            lane,
            test: self.test.clone(),
            lane_use,
        })
    }
}
