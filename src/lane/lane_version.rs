//! The version of the migrations at which a lane is, while a test has it as a whole database.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::in_use::LaneInUse;
use crate::config::MigrationVersion;
use crate::error::Result;
use crate::names::DatabaseName;
use crate::template::{CopyVersions, VersionChange};

/// The version of a lane. Two changes run one after the other. So do copies of the lane's state:
/// each is a copy of one version.
#[derive(Clone, Default)]
pub(super) struct LaneVersion {
    /// `None` until the first change: the lane has the version of its template.
    versions: Arc<Mutex<Option<Box<dyn CopyVersions>>>>,
}

impl LaneVersion {
    /// The version of a copy of this lane, for which it was at `versions`.
    pub(super) fn of_copy(versions: Option<Box<dyn CopyVersions>>) -> Self {
        Self {
            versions: Arc::new(Mutex::new(versions)),
        }
    }

    /// Waits until no change and no copy is running, and keeps others from beginning.
    pub(super) async fn hold(&self) -> HeldVersion {
        HeldVersion(Arc::clone(&self.versions).lock_owned().await)
    }

    /// Whether both are the version of one lane.
    pub(super) fn is_same_lane(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.versions, &other.versions)
    }

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

/// The version of a lane that does not change while the value exists.
pub(super) struct HeldVersion(OwnedMutexGuard<Option<Box<dyn CopyVersions>>>);

impl HeldVersion {
    /// The same version, for another database. `None`: that of the template.
    pub(super) fn for_copy(&self, copy: &DatabaseName) -> Option<Box<dyn CopyVersions>> {
        self.0
            .as_ref()
            .map(|versions| versions.of_copy(copy.clone()))
    }

    /// Records that the lane is at another version.
    pub(super) fn return_to(&mut self, versions: Option<Box<dyn CopyVersions>>) {
        *self.0 = versions;
    }
}

impl fmt::Debug for LaneVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneVersion").finish_non_exhaustive()
    }
}
