//! A lane is leased to one process at a time: by a file's lock on a server of this machine, by an advisory lock on a
//! server that several machines share.

mod files;

use crate::error::Result;
use crate::names::Fingerprint;
use files::{LaneFile, LaneFiles};

/// The leases of one fingerprint's lanes.
#[derive(Debug, Clone)]
pub(crate) enum LaneLeases {
    Files(LaneFiles),
}

impl LaneLeases {
    /// Lanes of a server whose folder is given.
    pub(crate) fn in_folder(server_folder: &std::path::Path, fingerprint: &Fingerprint) -> Self {
        Self::Files(LaneFiles::of(server_folder, fingerprint.as_str()))
    }

    /// Takes the lane's lease, unless somebody else holds it.
    ///
    /// # Errors
    /// The server, or its folder, is gone.
    pub(crate) async fn try_lease(&self, number: usize) -> Result<Option<LaneLease>> {
        match self {
            Self::Files(files) => Ok(files.try_lease(number)?.map(LaneLease::File)),
        }
    }

    /// Numbers of the lanes that exist, lowest first.
    pub(crate) async fn existing(&self) -> Result<Vec<usize>> {
        match self {
            Self::Files(files) => Ok(files.existing()),
        }
    }

    /// Takes every lease, or none when somebody holds one.
    pub(crate) async fn lock_all(&self) -> Result<Option<HeldLanes>> {
        let mut held = Vec::new();
        for number in self.existing().await? {
            match self.try_lease(number).await? {
                Some(lease) => held.push(lease),
                None => return Ok(None),
            }
        }
        Ok(Some(HeldLanes { held }))
    }
}

/// All lanes of a fingerprint, so that nobody else uses one.
#[derive(Debug)]
pub(crate) struct HeldLanes {
    held: Vec<LaneLease>,
}

impl HeldLanes {
    /// Marks every lane as one that has no database any more.
    pub(crate) fn remove(self) {
        for lane in &self.held {
            if lane.mark_in_use().is_err() {
                tracing::warn!(lane = lane.number(), "a dropped lane keeps its mark");
            }
        }
    }
}

/// The lease of one lane. It ends with the value, or with the process.
#[derive(Debug)]
pub(crate) enum LaneLease {
    File(LaneFile),
}

impl LaneLease {
    pub(crate) fn number(&self) -> usize {
        match self {
            Self::File(file) => file.number,
        }
    }

    /// Whether the lane's database equals the template; unknown where the database itself says it.
    pub(crate) fn is_clean(&self) -> Option<bool> {
        match self {
            Self::File(file) => Some(file.is_clean()),
        }
    }

    pub(crate) fn mark_clean(&self) -> Result<()> {
        match self {
            Self::File(file) => file.mark_clean(),
        }
    }

    pub(crate) fn mark_in_use(&self) -> Result<()> {
        match self {
            Self::File(file) => file.mark_in_use(),
        }
    }
}
