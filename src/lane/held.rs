//! What a `Tx`, `Sandbox` or `Database` holds: an open lane, until it is closed, kept or dropped.

use std::fmt;

use super::checkout::{Checkout, OnDrop, OpenLane};
use super::kept::KeptDatabase;
use crate::error::Result;

const OPEN_UNTIL_CONSUMED: &str = "only close, keep and drop take the lane, and they own the value";

/// An open lane. When this is dropped, the lane becomes a [`Checkout`].
pub(super) struct Held<O: OpenLane> {
    // None only while `close`, `keep` or `drop` takes it away.
    open: Option<O>,
    on_drop: OnDrop,
}

impl<O: OpenLane> Held<O> {
    pub(super) fn new(open: O, on_drop: OnDrop) -> Self {
        Self {
            open: Some(open),
            on_drop,
        }
    }

    /// # Errors
    /// As for [`OpenLane::close`].
    pub(super) async fn close(mut self) -> Result<()> {
        // Taken at the first poll: if this future is dropped later, `drop` finds nothing to close.
        Box::new(self.take()).close().await
    }

    /// # Errors
    /// As for [`OpenLane::keep`].
    pub(super) async fn keep(mut self) -> Result<KeptDatabase> {
        // As above.
        Box::new(self.take()).keep().await
    }

    /// What happens to the lane when the value is dropped.
    pub(super) fn on_drop(&self) -> &OnDrop {
        &self.on_drop
    }

    pub(super) fn get(&self) -> &O {
        self.open.as_ref().expect(OPEN_UNTIL_CONSUMED)
    }

    pub(super) fn get_mut(&mut self) -> &mut O {
        self.open.as_mut().expect(OPEN_UNTIL_CONSUMED)
    }

    fn take(&mut self) -> O {
        self.open.take().expect(OPEN_UNTIL_CONSUMED)
    }

    /// Writes `Debug` of the public type that holds this, with its label for the database's name.
    pub(super) fn fmt_as(
        &self,
        public_type: &str,
        database_label: &str,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        let in_use = self.open.as_ref().map(OpenLane::in_use);
        f.debug_struct(public_type)
            .field("test", &in_use.map(|in_use| &in_use.test))
            .field(
                database_label,
                &in_use.map(|in_use| in_use.lane.database.as_str()),
            )
            .finish_non_exhaustive()
    }
}

impl<O: OpenLane> Drop for Held<O> {
    fn drop(&mut self) {
        // `drop` cannot wait for the server, so a task or the end of the test closes the lane.
        if let Some(open) = self.open.take() {
            self.on_drop.apply(Checkout::new(open));
        }
    }
}
