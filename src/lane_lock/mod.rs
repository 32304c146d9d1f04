//! Locks between processes: who uses a lane, and who may open connections.
//!
//! A server that ebbtide has started belongs to one machine, so its locks are file locks below
//! `INSTANCE/lanes`. Several machines may share an external server, so its locks are session
//! advisory locks on that server.
//!
//! | lock | file | advisory lock | protects |
//! |---|---|---|---|
//! | turn | `turn` | `turn` | the right to collect permits |
//! | permit | `permit.N` | `permit N` | one connection |
//! | use lock | none | `use FINGERPRINT`, shared | the template and its lanes, from being dropped |
//! | lane lock | `FINGERPRINT.N` | `lane FINGERPRINT N` | the database of one lane |
//!
//! # Order
//!
//! ```text
//! queue (this process) -> turn -> all permits -> use lock -> lane lock -> connections
//!                         `------ released here ------------------^
//! ```
//!
//! A test takes all of its permits before it locks a lane or opens a connection. Otherwise two
//! tests with some of their connections each could wait for each other for ever. The turn is
//! released only after the lane lock is taken, so that tests also get lanes in their order. A test
//! with several arguments takes the permits of all its lanes at once, of one server after the other
//! in the order of their names (`lane/reservation`).
//!
//! No lock request waits in the kernel or in the server: every one is a *try*, and the caller
//! polls. Code that needs several lane locks, such as [`LaneLocks::lock_all`], gives up if one of
//! them is taken. So clean-up cannot take part in a deadlock.
//!
//! # A killed process
//!
//! The kernel releases the file locks of a killed process. The file of a lane keeps its content, so
//! the next holder can decide whether to trust the database (see [`LaneState`]).
//!
//! An external server releases advisory locks when the session ends. If a whole machine vanishes,
//! TCP keepalives end its sessions within about a minute. There, the lane's own table records its
//! state and its holder.

mod files;
mod lock_file;
mod locks;
mod permit_usage;
mod permits;
pub(crate) mod permits_of_process;
mod stall;
mod state;

use crate::error::Result;
use crate::names::{DatabaseName, Fingerprint};
use files::{LaneFile, LaneFiles};
use locks::{Lock, SessionLaneLock, SessionLaneLocks};

pub(crate) use locks::Locks;
pub(crate) use permits::{
    CollectingTurn, IdlePermits, PERMIT_POLL_INTERVAL, Permit, Permits, UsageEntry,
};
pub(crate) use state::LaneState;

/// The lane locks of one fingerprint.
#[derive(Debug, Clone)]
pub(crate) enum LaneLocks {
    Files(LaneFiles),
    Locks(SessionLaneLocks),
}

impl LaneLocks {
    /// Lanes of a server with an instance directory.
    pub(crate) fn in_dir(server_dir: &std::path::Path, fingerprint: &Fingerprint) -> Self {
        Self::Files(LaneFiles::of(server_dir, fingerprint.as_str()))
    }

    /// Lanes of a server that several machines share.
    pub(crate) fn by_locks(locks: &Locks, fingerprint: &Fingerprint) -> Self {
        Self::Locks(SessionLaneLocks::of(locks, fingerprint))
    }

    /// Keeps other processes from dropping the template and its lanes while this process uses them.
    ///
    /// With lane files there is nothing to do. There [`lock_all`](Self::lock_all) finds the lane
    /// locks of a process that uses the template.
    pub(crate) async fn take_use_lock(&self) -> Result<()> {
        match self {
            // A clean-up may drop a template that this process has found, while none of its lanes
            // is locked. Then the copy of a lane fails, and this process builds the template again.
            Self::Files(_) => Ok(()),
            Self::Locks(locks) => locks.take_use_lock().await,
        }
    }

    /// Takes the lane lock, or returns `None` if another holder has it.
    ///
    /// # Errors
    /// The server, or its directory, is gone.
    pub(crate) async fn try_lock(&self, number: usize) -> Result<Option<LaneLock>> {
        match self {
            Self::Files(files) => Ok(files.try_lock(number)?.map(LaneLock::File)),
            Self::Locks(locks) => Ok(locks.try_lock(number).await?.map(LaneLock::Lock)),
        }
    }

    /// Numbers of the lanes that exist, lowest first.
    pub(crate) async fn existing(&self) -> Result<Vec<usize>> {
        match self {
            Self::Files(files) => Ok(files.existing()),
            Self::Locks(locks) => locks.existing().await,
        }
    }

    /// A text about the template that an earlier process has recorded. An external server has no
    /// files, and so no such text.
    pub(crate) fn note(&self) -> Option<String> {
        match self {
            Self::Files(files) => files.note(),
            Self::Locks(_) => None,
        }
    }

    /// Records a text for later processes.
    pub(crate) fn record_note(&self, text: &str) {
        match self {
            Self::Files(files) => files.record_note(text),
            Self::Locks(_) => {}
        }
    }

    /// Whether an earlier process has recorded that no constraint of the template is deferrable. An
    /// external server has no files, and so no such record.
    pub(crate) fn has_only_immediate_constraints(&self) -> bool {
        match self {
            Self::Files(files) => files.has_only_immediate_constraints(),
            Self::Locks(_) => false,
        }
    }

    /// Records it for later processes.
    pub(crate) fn record_only_immediate_constraints(&self) {
        match self {
            Self::Files(files) => files.record_only_immediate_constraints(),
            Self::Locks(_) => {}
        }
    }

    /// Takes the locks of all existing lanes, or returns `None` if another holder has one of them.
    ///
    /// On an external server, one exclusive use lock stands for all lane locks. With files, another
    /// process may create a new lane meanwhile: the caller must check [`HeldLanes::has`].
    pub(crate) async fn lock_all(&self) -> Result<Option<HeldLanes>> {
        if let Self::Locks(locks) = self {
            return Ok(locks.lock_all().await?.map(HeldLanes::Lock));
        }
        let mut held = Vec::new();
        for number in self.existing().await? {
            match self.try_lock(number).await? {
                Some(lock) => held.push(lock),
                // Dropping `held` releases the locks taken so far. Two clean-ups that each have
                // some of the locks both give up, and neither waits.
                None => return Ok(None),
            }
        }
        Ok(Some(HeldLanes::Each(held)))
    }
}

/// The locks of all lanes of a fingerprint.
#[derive(Debug)]
pub(crate) enum HeldLanes {
    Each(Vec<LaneLock>),
    /// The exclusive use lock. Every process that uses a lane holds it shared.
    Lock(Lock),
}

impl HeldLanes {
    /// Whether this lane is among the locked ones.
    pub(crate) fn has(&self, number: usize) -> bool {
        match self {
            Self::Each(lanes) => lanes.iter().any(|lane| lane.number() == number),
            // Before a process makes a lane, it takes the use lock, shared. So no lane was added.
            Self::Lock(_) => true,
        }
    }

    /// Records that the lanes' databases have been dropped, and releases the locks.
    pub(crate) fn remove(self) {
        match self {
            // If this process is killed before a mark, the file still names the dropped database.
            // The next holder cannot connect to it (3D000), and copies the lane. So a mark that
            // fails is no error either.
            Self::Each(lanes) => {
                for lane in &lanes {
                    if lane.mark_unknown().is_err() {
                        tracing::warn!(
                            lane = lane.number(),
                            "could not clear the state of a dropped lane"
                        );
                    }
                }
            }
            // The state was in the dropped databases.
            Self::Lock(lock) => drop(lock),
        }
    }
}

/// The lock of one lane. It is released when the value is dropped or the process ends.
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

    /// The recorded state, or `None` if the lane's own table records it.
    pub(crate) fn state(&self) -> Option<LaneState> {
        match self {
            Self::File(file) => Some(file.state()),
            Self::Lock(_) => None,
        }
    }

    /// Whether the lock was lost while the value still exists. Another process may have the lane.
    ///
    /// A file lock cannot be lost. An advisory lock is lost with its connection.
    pub(crate) fn is_void(&self) -> bool {
        match self {
            // The kernel keeps the lock for as long as the file is open.
            Self::File(_) => false,
            Self::Lock(lock) => lock.is_void(),
        }
    }

    /// The name of this process in the lane's own table, or `None` if a file records the state.
    pub(crate) fn holder(&self) -> Option<&str> {
        match self {
            Self::File(_) => None,
            Self::Lock(lock) => Some(lock.holder()),
        }
    }

    /// The recorded uses of the database since its copy, or 0 if the lane's own table has them.
    pub(crate) fn uses(&self) -> u32 {
        match self {
            Self::File(file) => file.uses(),
            Self::Lock(_) => 0,
        }
    }

    /// The lane's database, if one is recorded.
    pub(crate) async fn database(&self, fingerprint: &Fingerprint) -> Result<Option<DatabaseName>> {
        match self {
            Self::File(file) => Ok(file
                .token()
                .map(|token| DatabaseName::lane(fingerprint, file.number, &token))),
            Self::Lock(lock) => lock.database(fingerprint).await,
        }
    }

    /// Records the state and the uses of the lane's database.
    ///
    /// With an advisory lock, the messages that open and close the test's transaction record both
    /// in the database. This function then only fails if the lock is lost.
    pub(crate) fn mark(&self, state: LaneState, uses: u32, database: &DatabaseName) -> Result<()> {
        match self {
            Self::File(file) => file.mark(state, uses, database.lane_token()),
            // The lane's own table has it already: in a new copy, or after the closing message.
            Self::Lock(_) if state == LaneState::Equal => Ok(()),
            Self::Lock(lock) => lock.check(),
        }
    }

    /// Records that the lane's database may have any contents, or be missing.
    pub(crate) fn mark_unknown(&self) -> Result<()> {
        match self {
            Self::File(file) => file.mark(LaneState::Unknown, 0, ""),
            // Only a session on the lane can write its table, and the claim in that session does.
            Self::Lock(lock) => lock.check(),
        }
    }
}
