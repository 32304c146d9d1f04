//! Permits for connections, so that a test begins only when the server has the connections that it may open.
//!
//! A test that opens some of its connections and then waits for more keeps others from finishing, and they keep it from
//! finishing. So a test takes all of its permits at once, before it opens anything. Permits are numbered up to the
//! server's capacity, and each is a lock that ends with its process: on a file beside the lanes' files, or an advisory
//! lock on a server that several machines share. A third kind of lock, the turn, is held by the one test of all
//! processes that collects permits at the moment; the others wait behind it, so that many tests that want one permit each
//! do not keep a test waiting that wants six.
//!
//! ```text
//! queue (this process, first come first served) -> turn (all processes) -> permits -> lane
//! ```

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::locks::{Lock, Locks, permit_key, turn_key};
use crate::error::{Error, ErrorKind, Result};

/// How often the holder of the turn looks for free permits.
pub(crate) const PERMIT_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// All permits of one server, as this process sees them.
#[derive(Debug)]
pub(crate) struct Permits {
    place: Place,
    capacity: usize,
    queue: tokio::sync::Mutex<()>,
    ledger: Arc<Ledger>,
    idle: Mutex<Vec<Idle>>,
    has_reported: AtomicBool,
}

#[derive(Debug)]
enum Place {
    Files(PathBuf),
    Locks(Locks),
}

/// Something that holds permits without need, and gives one back when it is called. Dropped when it returns `None`.
struct Idle(Box<dyn Fn() -> Option<usize> + Send + Sync>);

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idle").finish_non_exhaustive()
    }
}

/// What the tests of this process hold and wait for.
#[derive(Debug, Default)]
struct Ledger {
    held: AtomicUsize,
    tests: Mutex<Tests>,
}

#[derive(Debug)]
struct Tests {
    holding: HashMap<String, usize>,
    waiting: HashMap<String, usize>,
    last_change: Instant,
}

impl Default for Tests {
    fn default() -> Self {
        Self {
            holding: HashMap::new(),
            waiting: HashMap::new(),
            last_change: Instant::now(),
        }
    }
}

impl Ledger {
    fn tests(&self) -> MutexGuard<'_, Tests> {
        self.tests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to one connection. It ends with the value, or with the process.
#[derive(Debug)]
pub(crate) struct Permit {
    _lock: PermitLock,
    ledger: Arc<Ledger>,
}

#[derive(Debug)]
enum PermitLock {
    /// The lock ends when the file is closed.
    File {
        _file: File,
    },
    Advisory {
        _lock: Lock,
    },
}

impl Permit {
    fn new(lock: PermitLock, ledger: &Arc<Ledger>) -> Self {
        ledger.held.fetch_add(1, Ordering::Relaxed);
        Self {
            _lock: lock,
            ledger: Arc::clone(ledger),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.ledger.held.fetch_sub(1, Ordering::Relaxed);
        self.ledger.tests().last_change = Instant::now();
    }
}

/// The right to collect permits, which one test of all processes has.
#[derive(Debug)]
pub(crate) struct CollectingTurn {
    _lock: PermitLock,
}

/// Names a test as one that waits, or as one that holds permits.
#[derive(Debug)]
pub(crate) struct Named {
    test: String,
    role: Role,
    ledger: Arc<Ledger>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Holding,
    Waiting,
}

impl Tests {
    fn of(&mut self, role: Role) -> &mut HashMap<String, usize> {
        match role {
            Role::Holding => &mut self.holding,
            Role::Waiting => &mut self.waiting,
        }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let mut tests = self.ledger.tests();
        let names = tests.of(self.role);
        if let Some(count) = names.get_mut(&self.test) {
            *count -= 1;
            if *count == 0 {
                names.remove(&self.test);
            }
        }
    }
}

impl Permits {
    /// Permits of a server whose directory is given.
    pub(crate) fn in_dir(server_dir: &Path, capacity: usize) -> Self {
        Self::new(Place::Files(server_dir.join("lanes")), capacity)
    }

    /// Permits of a server that several machines share.
    pub(crate) fn by_locks(locks: &Locks, capacity: usize) -> Self {
        Self::new(Place::Locks(locks.clone()), capacity)
    }

    fn new(place: Place, capacity: usize) -> Self {
        Self {
            place,
            // A server that lets nobody in refuses by itself.
            capacity: capacity.max(1),
            queue: tokio::sync::Mutex::default(),
            ledger: Arc::default(),
            idle: Mutex::default(),
            has_reported: AtomicBool::new(false),
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Waits for the tests of this process that came before.
    pub(crate) async fn queue(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.queue.lock().await
    }

    /// The turn, unless another test collects permits.
    ///
    /// # Errors
    /// The server, or its directory, is gone.
    pub(crate) async fn try_turn(&self) -> Result<Option<CollectingTurn>> {
        let lock = match &self.place {
            Place::Files(dir) => {
                try_file(&dir.join("turn"))?.map(|file| PermitLock::File { _file: file })
            }
            Place::Locks(locks) => locks
                .try_any(vec![turn_key()], 1)
                .await?
                .pop()
                .map(|lock| PermitLock::Advisory { _lock: lock }),
        };
        Ok(lock.map(|lock| CollectingTurn { _lock: lock }))
    }

    /// Adds free permits until there are as many as `wanted`, or none is free.
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
                // Processes begin at different numbers, so that each finds a free one soon.
                let first = usize::try_from(std::process::id()).unwrap_or_default();
                let numbers = (0..self.capacity).map(|number| (first + number) % self.capacity);
                for number in numbers {
                    if permits.len() >= wanted {
                        break;
                    }
                    if let Some(file) = try_file(&dir.join(format!("permit.{number}")))? {
                        permits.push(Permit::new(PermitLock::File { _file: file }, &self.ledger));
                    }
                }
            }
            Place::Locks(locks) => {
                let keys = (0..self.capacity).map(permit_key).collect();
                for lock in locks.try_any(keys, missing).await? {
                    permits.push(Permit::new(
                        PermitLock::Advisory { _lock: lock },
                        &self.ledger,
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether another process holds permits. It takes all free ones for a moment.
    ///
    /// # Errors
    /// The server, or its directory, is gone.
    pub(crate) async fn are_held_elsewhere(&self) -> Result<bool> {
        let last_change = self.ledger.tests().last_change;
        let mut probe = Vec::new();
        self.collect(&mut probe, self.capacity).await?;
        let held = self.ledger.held.load(Ordering::Relaxed);
        drop(probe);
        self.ledger.tests().last_change = last_change;
        Ok(held < self.capacity)
    }

    /// How often a process looks whether another one waits for the connections of its idle lanes. An advisory lock costs
    /// the server a statement.
    pub(crate) fn idle_check_interval(&self) -> Duration {
        match &self.place {
            Place::Files(_) => Duration::from_millis(200),
            Place::Locks(_) => Duration::from_secs(1),
        }
    }

    /// Registers what gives idle permits back.
    pub(crate) fn add_idle(&self, reclaim: impl Fn() -> Option<usize> + Send + Sync + 'static) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Idle(Box::new(reclaim)));
    }

    /// Takes one permit from what holds it without need, if anything in this process does.
    pub(crate) fn reclaim_one(&self) {
        let mut reclaimed = 0;
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|idle| {
                if reclaimed > 0 {
                    return true;
                }
                match (idle.0)() {
                    Some(count) => {
                        reclaimed += count;
                        true
                    }
                    None => false,
                }
            });
    }

    pub(crate) fn waiting(&self, test: &str) -> Named {
        self.named(test, Role::Waiting)
    }

    pub(crate) fn holding(&self, test: &str) -> Named {
        self.named(test, Role::Holding)
    }

    fn named(&self, test: &str, role: Role) -> Named {
        *self
            .ledger
            .tests()
            .of(role)
            .entry(test.to_owned())
            .or_default() += 1;
        Named {
            test: test.to_owned(),
            role,
            ledger: Arc::clone(&self.ledger),
        }
    }

    /// For how long no permit has been given back although every test that holds one waits for another, which then never
    /// ends. `collected` are those that the asking test has collected. Other processes' tests may end at any time.
    pub(crate) fn stalled_for(&self, collected: usize) -> Duration {
        let held = self.ledger.held.load(Ordering::Relaxed);
        // The holder of the turn has seen every other permit taken.
        let of_others = self.capacity.saturating_sub(held.max(collected));
        let tests = self.ledger.tests();
        let is_stalled = of_others == 0
            && tests
                .holding
                .keys()
                .all(|test| tests.waiting.contains_key(test));
        if is_stalled {
            tests.last_change.elapsed()
        } else {
            Duration::ZERO
        }
    }

    /// Whether this is the first report of this process that a test waits: one line is enough.
    pub(crate) fn is_first_report(&self) -> bool {
        !self.has_reported.swap(true, Ordering::Relaxed)
    }
}

fn try_file(path: &Path) -> Result<Option<File>> {
    let lost = |error: std::io::Error| {
        Error::new(
            ErrorKind::ServerLost,
            format!("{} cannot be used", path.display()),
        )
        .with_source(error)
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(lost)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(lost(error)),
    }
}
