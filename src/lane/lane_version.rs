//! The version of the migrations at which a lane is, while a test has it as a whole database.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::in_use::LaneInUse;
use crate::config::MigrationVersion;
use crate::error::Result;
use crate::template::{CopyVersions, VersionChange};

/// The version of a lane. Two changes run one after the other.
#[derive(Default)]
pub(super) struct LaneVersion {
    /// `None` until the first change: the lane has the version of its template.
    versions: Arc<Mutex<Option<Box<dyn CopyVersions>>>>,
}

impl LaneVersion {
    /// Applies or reverts migrations; see [`Database::migrate_to`](super::Database::migrate_to).
    ///
    /// The change is a task of the background runtime. A test's runtime may lack what a command
    /// needs, and a dropped future must not leave the version unknown.
    /// The future holds no reference, so a thread without a runtime can wait for it.
    pub(super) fn change(
        &self,
        in_use: &LaneInUse,
        to: Option<MigrationVersion>,
    ) -> impl Future<Output = Result<VersionChange>> + Send + 'static {
        let versions = Arc::clone(&self.versions);
        let (lanes, lane) = (in_use.lanes.clone(), in_use.lane.database.clone());
        let changing = async move {
            let mut versions = versions.lock().await;
            let versions = versions.get_or_insert_with(|| lanes.versions_of(lane));
            versions.change(to.as_ref()).await
        };
        let lanes = in_use.lanes.clone();
        async move { lanes.in_background(changing).await }
    }
}

impl fmt::Debug for LaneVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneVersion").finish_non_exhaustive()
    }
}
