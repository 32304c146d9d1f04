//! A lane is leased to one process at a time: by a file's lock on a server of this machine, by an advisory lock on a
//! server that several machines share.

mod files;
mod locks;
mod permits;

use crate::error::Result;
use crate::names::{DatabaseName, Fingerprint};
use files::{LaneFile, LaneFiles};
use locks::{Lock, SessionLaneLock, SessionLaneLocks};

pub(crate) use locks::Locks;
pub(crate) use permits::{CollectingTurn, Named, PERMIT_POLL_INTERVAL, Permit, Permits};

/// How a lane's database compares to the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneState {
    /// It equals the template.
    Equal,
    /// A test had it for itself.
    Lent,
    /// It may be anything, or not be there.
    Unknown,
}

/// The leases of one fingerprint's lanes.
#[derive(Debug, Clone)]
pub(crate) enum LaneLocks {
    Files(LaneFiles),
    Locks(SessionLaneLocks),
}

impl LaneLocks {
    /// Lanes of a server whose directory is given.
    pub(crate) fn in_dir(server_dir: &std::path::Path, fingerprint: &Fingerprint) -> Self {
        Self::Files(LaneFiles::of(server_dir, fingerprint.as_str()))
    }

    /// Lanes of a server that several machines share.
    pub(crate) fn by_locks(locks: &Locks, fingerprint: &Fingerprint) -> Self {
        Self::Locks(SessionLaneLocks::of(locks, fingerprint))
    }

    /// Keeps others from dropping the template while this process uses it, where its lanes do not show that.
    pub(crate) async fn announce(&self) -> Result<()> {
        match self {
            Self::Files(_) => Ok(()),
            Self::Locks(locks) => locks.announce().await,
        }
    }

    /// Takes the lane's lease, unless somebody else holds it.
    ///
    /// # Errors
    /// The server, or its directory, is gone.
    pub(crate) async fn try_lease(&self, number: usize) -> Result<Option<LaneLock>> {
        match self {
            Self::Files(files) => Ok(files.try_lease(number)?.map(LaneLock::File)),
            Self::Locks(locks) => Ok(locks.try_lease(number).await?.map(LaneLock::Lock)),
        }
    }

    /// Numbers of the lanes that exist, lowest first.
    pub(crate) async fn existing(&self) -> Result<Vec<usize>> {
        match self {
            Self::Files(files) => Ok(files.existing()),
            Self::Locks(locks) => locks.existing().await,
        }
    }

    /// Takes every lease, or none when somebody holds one.
    pub(crate) async fn lock_all(&self) -> Result<Option<HeldLanes>> {
        if let Self::Locks(locks) = self {
            return Ok(locks.lock_all().await?.map(HeldLanes::Lock));
        }
        let mut held = Vec::new();
        for number in self.existing().await? {
            match self.try_lease(number).await? {
                Some(lease) => held.push(lease),
                None => return Ok(None),
            }
        }
        Ok(Some(HeldLanes::Each(held)))
    }
}

/// All lanes of a fingerprint, so that nobody else uses one.
#[derive(Debug)]
pub(crate) enum HeldLanes {
    Each(Vec<LaneLock>),
    /// The lock that everybody shares who uses one.
    Lock(Lock),
}

impl HeldLanes {
    pub(crate) fn has(&self, number: usize) -> bool {
        match self {
            Self::Each(lanes) => lanes.iter().any(|lane| lane.number() == number),
            Self::Lock(_) => true,
        }
    }

    /// Marks every lane as one that has no database any more.
    pub(crate) fn remove(self) {
        match self {
            Self::Each(lanes) => {
                for lane in &lanes {
                    if lane.forget().is_err() {
                        tracing::warn!(lane = lane.number(), "a dropped lane keeps its mark");
                    }
                }
            }
            // The mark lay in the database.
            Self::Lock(lock) => drop(lock),
        }
    }
}

/// The lease of one lane. It ends with the value, or with the process.
#[derive(Debug)]
pub(crate) enum LaneLock {
    File(LaneFile),
    Lock(SessionLaneLock),
}

impl LaneLock {
    pub(crate) fn number(&self) -> usize {
        match self {
            Self::File(file) => file.number,
            Self::Lock(lock) => lock.number,
        }
    }

    /// What is known of the lane's database, unless the database itself says it.
    pub(crate) fn state(&self) -> Option<LaneState> {
        match self {
            Self::File(file) => Some(file.state()),
            Self::Lock(_) => None,
        }
    }

    /// Whether it ended before its value did, so that the lane may be somebody else's.
    pub(crate) fn is_void(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::Lock(lock) => lock.is_void(),
        }
    }

    /// What the lane's database calls its holder, where it says itself whether it is clean.
    pub(crate) fn holder(&self) -> Option<&str> {
        match self {
            Self::File(_) => None,
            Self::Lock(lock) => Some(lock.holder()),
        }
    }

    /// How often the database was used since it was copied, as far as that is known.
    pub(crate) fn uses(&self) -> u32 {
        match self {
            Self::File(file) => file.uses(),
            Self::Lock(_) => 0,
        }
    }

    /// The lane's database, if there is one that may be used or reset.
    pub(crate) async fn database(&self, fingerprint: &Fingerprint) -> Result<Option<DatabaseName>> {
        match self {
            Self::File(file) => Ok(file
                .token()
                .map(|token| DatabaseName::lane(fingerprint, file.number, &token))),
            Self::Lock(lock) => lock.database(fingerprint).await,
        }
    }

    /// Records what the lane's database is from now on, after so many tests.
    pub(crate) fn mark(&self, state: LaneState, uses: u32, database: &DatabaseName) -> Result<()> {
        match self {
            Self::File(file) => file.mark(state, uses, database.lane_token()),
            // The messages that open and close the test's transaction write into the database.
            Self::Lock(_) if state == LaneState::Equal => Ok(()),
            Self::Lock(lock) => lock.check(),
        }
    }

    /// Records that the lane's database may be anything, or not be there.
    pub(crate) fn forget(&self) -> Result<()> {
        match self {
            Self::File(file) => file.mark(LaneState::Unknown, 0, ""),
            Self::Lock(lock) => lock.check(),
        }
    }
}
