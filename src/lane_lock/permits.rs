//! Permits for connections: a test begins only when it may open all connections that it may need.
//!
//! Suppose that a test opened some of its connections and then waited for more. Two such tests
//! could each wait for the other's connections. So a test collects all of its permits before it
//! opens a connection.
//!
//! Permits are numbered, as many as the server's capacity. Each is a lock that ends with its
//! process: a file lock beside the lane files, or an advisory lock on an external server.
//!
//! ```text
//! queue -------> turn -----------> permits ------> lane lock ----> connections ---> test ends
//! FIFO, of this  one test of all   1, or 6 for a   the turn ends                    an idle lane
//! process        processes         `Database`      here                             keeps 1 permit
//! ```
//!
//! The turn exists for fairness. Without it, many tests that need one permit each would take every
//! free permit before a test that needs six could collect them. Only the test with the turn
//! collects permits, and no other test can overtake it.
//!
//! Idle lanes keep an open connection and its permit for the next test. They must return it while a
//! test waits. The test with the turn reclaims the idle permits of its own process
//! ([`Permits::reclaim_one`]). Another process with idle lanes polls the turn. If the turn stays
//! taken, a test waits, and the process closes its idle connections.
//!
//! A test that already has a database may open another one, so it holds permits while it waits for
//! more. If all tests do that, no permit ever comes back. [`Permits::stalled_for`] detects this.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::lock_file;
use super::locks::{Lock, Locks, permit_key, turn_key};
use super::permit_usage::PermitUsage;
use crate::error::Result;

/// How often the holder of the turn polls for free permits.
pub(crate) const PERMIT_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// All permits of one server, as this process sees them.
#[derive(Debug)]
pub(crate) struct Permits {
    place: Place,
    /// The server's directory, or its address. All processes name a server alike.
    server: String,
    capacity: usize,
    /// Tokio's mutex is fair: it serves the waiting tests of this process in order.
    queue: tokio::sync::Mutex<()>,
    usage: Arc<Usage>,
    idle: Mutex<Vec<Weak<dyn IdlePermits>>>,
    has_reported: AtomicBool,
}

#[derive(Debug)]
enum Place {
    Files(PathBuf),
    Locks(Locks),
}

/// A holder of idle permits: permits of connections that are open for the next test.
///
/// It is a trait, because the pools of lanes that implement it belong to a higher layer.
pub(crate) trait IdlePermits: Send + Sync {
    /// Closes one idle connection, which releases its permit. Returns false if there is none.
    fn release_one(&self) -> bool;
}

/// The permits that this process holds, and its tests that hold permits or wait for them.
#[derive(Debug, Default)]
struct Usage {
    held: AtomicUsize,
    tests: Mutex<Tests>,
}

/// Names of tests, each with the number of its entries.
#[derive(Debug)]
struct Tests {
    holding: HashMap<String, usize>,
    waiting: HashMap<String, usize>,
    /// When this process last released a permit.
    last_release: Instant,
}

impl Default for Tests {
    fn default() -> Self {
        Self {
            holding: HashMap::new(),
            waiting: HashMap::new(),
            last_release: Instant::now(),
        }
    }
}

impl Usage {
    fn tests(&self) -> MutexGuard<'_, Tests> {
        self.tests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to one connection. It is released when the value is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Permit {
    _lock: PermitLock,
    usage: Arc<Usage>,
}

#[derive(Debug)]
enum PermitLock {
    /// Closing the file releases the lock.
    File {
        _file: File,
    },
    Advisory {
        _lock: Lock,
    },
}

impl Permit {
    fn new(lock: PermitLock, usage: &Arc<Usage>) -> Self {
        // Counted after the lock was taken, and uncounted before it is released. In between, this
        // process seems to hold too few permits, which can only delay the detection of a stall.
        usage.held.fetch_add(1, Ordering::Relaxed);
        Self {
            _lock: lock,
            usage: Arc::clone(usage),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // The fields are dropped after this function, and with them the lock.
        self.usage.held.fetch_sub(1, Ordering::Relaxed);
        self.usage.tests().last_release = Instant::now();
    }
}

/// The right to collect permits. One test of all processes has it at a time.
#[derive(Debug)]
pub(crate) struct CollectingTurn {
    _lock: PermitLock,
}

/// A test's entry in [`Usage`], as waiting for permits or as holding them. It lasts until the value
/// is dropped.
#[derive(Debug)]
pub(crate) struct UsageEntry {
    test: String,
    claim: Claim,
    usage: Arc<Usage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Holding,
    Waiting,
}

impl Tests {
    fn of(&mut self, claim: Claim) -> &mut HashMap<String, usize> {
        match claim {
            Claim::Holding => &mut self.holding,
            Claim::Waiting => &mut self.waiting,
        }
    }
}

impl Drop for UsageEntry {
    fn drop(&mut self) {
        let mut tests = self.usage.tests();
        let names = tests.of(self.claim);
        // A test has one entry for each lane that it holds or waits for.
        if let Some(count) = names.get_mut(&self.test) {
            *count -= 1;
            if *count == 0 {
                names.remove(&self.test);
            }
        }
    }
}

impl Permits {
    /// Permits of a server with an instance directory.
    pub(super) fn in_dir(server_dir: &Path, server: &str, capacity: usize) -> Self {
        Self::new(Place::Files(server_dir.join("lanes")), server, capacity)
    }

    /// Permits of an external server.
    pub(super) fn by_locks(locks: &Locks, server: &str, capacity: usize) -> Self {
        Self::new(Place::Locks(locks.clone()), server, capacity)
    }

    fn new(place: Place, server: &str, capacity: usize) -> Self {
        Self {
            place,
            server: server.to_owned(),
            // At least one, so that a test of a server without connections gets the server's own
            // error and does not wait for ever.
            capacity: capacity.max(1),
            queue: tokio::sync::Mutex::default(),
            usage: Arc::default(),
            idle: Mutex::default(),
            has_reported: AtomicBool::new(false),
        }
    }

    /// Whether the connection that holds the permits is gone.
    pub(super) fn are_lost(&self) -> bool {
        match &self.place {
            Place::Files(_) => false,
            Place::Locks(locks) => locks.is_lost(),
        }
    }

    /// The server, by which tests that need permits of several servers order them.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Waits until no earlier test of this process collects permits.
    pub(crate) async fn queue(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.queue.lock().await
    }

    /// Takes the turn, or returns `None` if a test of another process has it.
    ///
    /// # Errors
    /// The server, or its directory, is gone.
    pub(crate) async fn try_turn(&self) -> Result<Option<CollectingTurn>> {
        let lock = match &self.place {
            Place::Files(dir) => {
                lock_file::try_lock(&dir.join("turn"))?.map(|file| PermitLock::File { _file: file })
            }
            Place::Locks(locks) => locks
                .try_any(vec![turn_key()], 1)
                .await?
                .pop()
                .map(|lock| PermitLock::Advisory { _lock: lock }),
        };
        Ok(lock.map(|lock| CollectingTurn { _lock: lock }))
    }

    /// Adds free permits until there are `wanted` of them, or no more is free.
    ///
    /// Only the holder of the turn may keep some permits and call again for more. Two tests that
    /// did so could wait for each other.
    ///
    /// # Errors
    /// The server, or its directory, is gone.
    pub(crate) async fn collect(&self, permits: &mut Vec<Permit>, wanted: usize) -> Result<()> {
        let missing = wanted.saturating_sub(permits.len());
        if missing == 0 {
            return Ok(());
        }
        match &self.place {
            Place::Files(dir) => {
                // Processes begin at different numbers, so that each soon finds a free one.
                let first = usize::try_from(std::process::id()).unwrap_or_default();
                let numbers = (0..self.capacity).map(|number| (first + number) % self.capacity);
                // The lock of a permit belongs to its open file. So the permits of other tests of
                // this process are refused, too, and so are those that this test has collected.
                for number in numbers {
                    if permits.len() >= wanted {
                        break;
                    }
                    if let Some(file) = lock_file::try_lock(&dir.join(format!("permit.{number}")))?
                    {
                        permits.push(Permit::new(PermitLock::File { _file: file }, &self.usage));
                    }
                }
            }
            Place::Locks(locks) => {
                let keys = (0..self.capacity).map(permit_key).collect();
                for lock in locks.try_any(keys, missing).await? {
                    permits.push(Permit::new(
                        PermitLock::Advisory { _lock: lock },
                        &self.usage,
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether another process holds permits.
    ///
    /// A lock does not show its holder. So this function takes all free permits for a moment. If
    /// this process then holds fewer than the capacity, other processes hold the rest.
    ///
    /// # Errors
    /// The server, or its directory, is gone.
    pub(crate) async fn are_held_elsewhere(&self) -> Result<bool> {
        // Two processes that probe at the same moment each see the other's probe as held. Then a
        // test waits for one more poll.
        let last_release = self.usage.tests().last_release;
        let mut probe = Vec::new();
        self.collect(&mut probe, self.capacity).await?;
        // Before the drop, because the probe's permits count as held.
        let held = self.usage.held.load(Ordering::Relaxed);
        drop(probe);
        // Dropping the probe is not progress: without this, no stall would ever be detected.
        self.usage.tests().last_release = last_release;
        Ok(held < self.capacity)
    }

    /// How often a process with idle lanes checks whether a test of another process waits.
    ///
    /// Trying a file lock is cheap. An advisory lock costs the server a statement.
    pub(crate) fn idle_check_interval(&self) -> Duration {
        match &self.place {
            Place::Files(_) => Duration::from_millis(200),
            Place::Locks(_) => Duration::from_secs(1),
        }
    }

    /// Registers a holder of idle permits, for as long as it exists.
    pub(crate) fn add_idle(&self, holder: Weak<dyn IdlePermits>) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(holder);
    }

    /// Releases one idle permit of this process, if there is one.
    pub(crate) fn reclaim_one(&self) {
        // Only one: an open idle connection saves the next test the time to connect. The caller
        // polls, and comes back if it needs more.
        let mut is_released = false;
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|holder| {
                // The pool is dropped, and its idle connections with it.
                let Some(holder) = holder.upgrade() else {
                    return false;
                };
                is_released = is_released || holder.release_one();
                true
            });
    }

    /// Lists the test as waiting for permits.
    pub(crate) fn waiting(&self, test: &str) -> UsageEntry {
        self.entry(test, Claim::Waiting)
    }

    /// Lists the test as holding permits.
    pub(crate) fn holding(&self, test: &str) -> UsageEntry {
        self.entry(test, Claim::Holding)
    }

    fn entry(&self, test: &str, claim: Claim) -> UsageEntry {
        *self
            .usage
            .tests()
            .of(claim)
            .entry(test.to_owned())
            .or_default() += 1;
        UsageEntry {
            test: test.to_owned(),
            claim,
            usage: Arc::clone(&self.usage),
        }
    }

    /// Who holds permits and who waits for them. See [`stalled_for`](Self::stalled_for) for
    /// `collected`.
    pub(super) fn usage(&self, collected: usize) -> PermitUsage {
        let held = self.usage.held.load(Ordering::Relaxed);
        let tests = self.usage.tests();
        PermitUsage {
            server: self.server.clone(),
            // The holder of the turn has just found every other permit taken, so the rest of the
            // capacity belongs to other processes.
            is_full: held.max(collected) >= self.capacity,
            holding: tests.holding.keys().cloned().collect(),
            waiting: tests.waiting.keys().cloned().collect(),
            last_release: tests.last_release,
        }
    }

    /// Whether this is the first call in this process. One line about waiting tests is enough.
    pub(crate) fn is_first_report(&self) -> bool {
        !self.has_reported.swap(true, Ordering::Relaxed)
    }
}
