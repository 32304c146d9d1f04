//! Gives each test a lane: [`LaneLocks`] lock a lane for this process, and the pool gives it to one
//! test at a time.
//!
//! ```text
//!  unlocked <------------------------------------------------------------+
//!     | try_lock_any                                                     |
//!     v                                                                  |
//!  locked ------ error ----------------------------------------------> dropped
//!     | prepare_in_background                                            ^  ^
//!     v                                                                  |  |
//!  prepared                                                              |  |
//!     | hand_out                                     close_one_idle      |  |
//!     v                acquire                                           |  |
//!  in use <------------------------- idle -------------------------------+  |
//!     | the test ends                 ^                                     |
//!     v                               | reusable connection                 |
//!  returned ---- proved equal: put_back ---- no reusable connection --------+
//!     |                                                                     |
//!     +--------- not proved equal: recopy ----------------------------------+
//! ```
//!
//! The lane lock is held in every state but *unlocked*. `acquire` and `prepare` mark the lane as in
//! use before the test's first statement; `put_back` and a new copy mark it `Equal`. So a process
//! that is killed leaves a mark from which the next process infers what the lane needs: nothing, a
//! reset or a new copy.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::active_tests::ActiveTests;
use super::admin_connection::AdminConnection;
use super::admission::{Admission, STALL_TIMEOUT};
use super::lane_use::LaneUse;
use super::leased::{Lane, LaneConnection};
use super::prepared_lane::PreparedLane;
use super::waits;
use crate::conn::ConnParams;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::DeferrableConstraints;
use crate::lane_lock::{IdlePermits, LaneLock, LaneLocks, LaneState, Permits};
use crate::names::Fingerprint;
use crate::server::Server;
use crate::sql_error;
use crate::template::{Freshness, Template, TemplateSource};

const LANE_LOCK_TIMEOUT: Duration = Duration::from_mins(1);
/// How often a test looks for a free lane while all lanes are locked.
const LANE_LOCK_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How often a test retries after the server had no connection or no disk space left.
const PREPARE_RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// Connections that a process needs beside those of its lanes: one that holds locks, and one or two
/// that copy.
const SPARE_CONNECTIONS: usize = 3;

/// The server, the fingerprint and the parts of the plan that a pool of lanes depends on.
#[derive(Debug)]
pub(crate) struct LaneSetting {
    pub(crate) server: Arc<Server>,
    /// How tests connect to the server.
    pub(crate) conn: ConnParams,
    pub(crate) fingerprint: Fingerprint,
    /// The background runtime. Connections belong to it, because they must outlive the runtime of
    /// the test that uses them.
    pub(crate) runtime: Handle,
    /// The number of the lane to try first, where the test runner numbers its slots.
    pub(crate) slot: Option<usize>,
    /// Reports contain the plans of statements that take longer.
    pub(crate) log_plans_slower_than: Option<Duration>,
    /// How long a kept database exists.
    pub(crate) keep_for: Duration,
    /// `SET` statements for settings that the driver's own start-up message overrides.
    pub(crate) session_settings: String,
    /// The directory of migrations that the plan names by default and that does not exist.
    pub(crate) absent_migrations: Option<PathBuf>,
}

/// All lanes of one fingerprint that this process may use.
#[derive(Clone)]
pub(crate) struct LanePool {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    setting: LaneSetting,
    /// Called before a copy, but not for a lane that is ready.
    template_source: Arc<dyn TemplateSource>,
    lane_locks: LaneLocks,
    idle: Mutex<Vec<Lane>>,
    /// Whether a task checks if another process waits for the connections of idle lanes.
    is_idle_watched: AtomicBool,
    admin_connection: AdminConnection,
    /// Notified when a lane of this process becomes idle or unlocked.
    lane_returned: Notify,
    /// Each lane that this process has locked holds a clone, so the reference count is their number
    /// plus one.
    held_lanes: Arc<()>,
    active_tests: Arc<ActiveTests>,
    deferrable: DeferrableConstraints,
}

impl Inner {
    fn idle(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Idle lanes have one permit each.
impl IdlePermits for Inner {
    fn release_one(&self) -> bool {
        let lane = self.idle().pop();
        let Some(lane) = lane else { return false };
        // Closing a connection may need the runtime that opened it.
        let _runtime = self.setting.runtime.enter();
        drop(lane);
        true
    }
}

impl fmt::Debug for LanePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LanePool")
            .field("setting", &self.inner.setting)
            .finish_non_exhaustive()
    }
}

impl LanePool {
    pub(crate) fn new(setting: LaneSetting, template_source: Arc<dyn TemplateSource>) -> Self {
        let lane_locks = setting.server.lanes(&setting.fingerprint);
        let inner = Arc::new(Inner {
            setting,
            template_source,
            lane_locks,
            idle: Mutex::default(),
            is_idle_watched: AtomicBool::new(false),
            admin_connection: AdminConnection::default(),
            lane_returned: Notify::new(),
            held_lanes: Arc::default(),
            active_tests: Arc::default(),
            deferrable: DeferrableConstraints::default(),
        });
        // Weak, because the pool holds the server, which owns the permits.
        let idle_permits = Arc::downgrade(&inner);
        inner.setting.server.permits().add_idle(idle_permits);
        Self { inner }
    }

    pub(super) fn from_inner(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(super) fn permits(&self) -> &Permits {
        self.inner.setting.server.permits()
    }

    pub(super) fn has_idle(&self) -> bool {
        !self.inner.idle().is_empty()
    }

    /// Closes the connection of one idle lane, which frees its permit and unlocks the lane. The
    /// database stays as it is, so the next test of any process can use it. Returns false if there
    /// is no idle lane.
    pub(super) fn close_one_idle(&self) -> bool {
        self.inner.release_one()
    }

    /// Called by the task that watches idle lanes, right before it ends because no lane is idle.
    pub(super) fn stop_watching_idle(&self) {
        self.inner.is_idle_watched.store(false, Ordering::Release);
        // A test may have returned a lane after the task's last check and before the flag was
        // cleared. Then `put_back` saw the flag and started no task. So this checks once more.
        if self.has_idle() {
            self.start_watching_idle();
        }
    }

    fn start_watching_idle(&self) {
        if !self.inner.is_idle_watched.swap(true, Ordering::AcqRel) {
            self.watch_idle();
        }
    }

    pub(super) fn setting(&self) -> &LaneSetting {
        &self.inner.setting
    }

    pub(super) fn deferrable(&self) -> &DeferrableConstraints {
        &self.inner.deferrable
    }

    pub(super) fn admin_connection(&self) -> &AdminConnection {
        &self.inner.admin_connection
    }

    pub(super) async fn template(&self, freshness: Freshness) -> Result<Template> {
        let source = Arc::clone(&self.inner.template_source);
        source.template(freshness).await
    }

    /// Prepares one lane, which proves that the server is running.
    pub(crate) async fn warm_up(&self) -> Result<()> {
        let lane = self.acquire("ebbtide", LaneUse::Transaction).await?;
        self.put_back(lane)
    }

    /// Returns a lane that equals the template and is marked as in use.
    ///
    /// A test first waits for its permits (see `admit`), then for a lane. An idle lane of this
    /// process needs neither a permit nor preparation. Otherwise the loop locks any free lane and
    /// prepares it. The call fails only when no test makes progress.
    ///
    /// # Errors
    /// The server is gone, the lane cannot be prepared, or no lane or connection becomes free in
    /// time.
    #[tracing::instrument(name = "lane.lease", level = "debug", skip(self))]
    pub(super) async fn acquire(&self, test: &str, lane_use: LaneUse) -> Result<Lane> {
        // An idle lane already holds its one permit. A whole database needs several. It waits for
        // all of them without holding any, because two tests that each hold some could wait for
        // each other for ever.
        if lane_use != LaneUse::Whole
            && let Some(mut lane) = self.idle_for(lane_use)
        {
            // Before the test's first statement: if this process is killed after it, the next
            // holder of the lane copies it.
            lane.lock
                .mark(lane_use.state_in_use(), lane.uses, &lane.database)?;
            lane.admission.complete(self.permits(), test);
            return Ok(self.hand_out(lane));
        }
        let mut admission = self.admit(test, lane_use).await?;
        let began = Instant::now();
        loop {
            if let Some(mut lane) = self.idle_for(lane_use) {
                lane.lock
                    .mark(lane_use.state_in_use(), lane.uses, &lane.database)?;
                admission.complete(self.permits(), test);
                // An idle lane has a permit of its own. Replacing its admission releases that one.
                lane.admission = admission;
                return Ok(self.hand_out(lane));
            }
            let pause = match self.try_lock_any(lane_use).await? {
                Some(lock) => {
                    // The next test may collect permits while this lane is prepared.
                    admission.end_turn();
                    match self
                        .prepare_in_background(lock, test, lane_use, admission)
                        .await
                    {
                        Ok(mut lane) => {
                            lane.admission.complete(self.permits(), test);
                            return Ok(self.hand_out(lane));
                        }
                        Err((error, returned)) => {
                            let may_wait = began.elapsed() < STALL_TIMEOUT
                                || self.others_make_progress().await?;
                            if !may_wait || !self.is_transient(&error).await? {
                                return Err(error);
                            }
                            admission = returned;
                            // Other programs may use up the server's connections, and other lanes
                            // its disk. The idle lanes of this process use both.
                            while self.close_one_idle() {}
                            PREPARE_RETRY_INTERVAL
                        }
                    }
                }
                // A test that makes progress may still return its lane after the timeout.
                None if began.elapsed() >= LANE_LOCK_TIMEOUT
                    && !self.others_make_progress().await? =>
                {
                    return Err(no_free_lane(lane_use));
                }
                None => LANE_LOCK_POLL_INTERVAL,
            };
            let pool = self.clone();
            // Only lanes of this process notify: `notify_one` stores a notification for a test that
            // does not wait yet, so none is missed. Lanes that another process unlocks are found by
            // polling, hence the timeout. It runs on the background runtime, because the test may
            // have paused its own tokio clock.
            let wait = self.inner.setting.runtime.spawn(async move {
                let notified = pool.inner.lane_returned.notified();
                // After a timeout, too, the next iteration looks for a lane.
                let _ = tokio::time::timeout(pause, notified).await;
            });
            // The same holds if the background runtime has ended.
            let _ = wait.await;
        }
    }

    /// Registers the test as active until it returns the lane. The first active test starts the
    /// task that reports lock waits; the task ends when no test is active.
    fn hand_out(&self, mut lane: Lane) -> Lane {
        let (presence, needs_watcher) = self.inner.active_tests.add(&lane.database);
        lane.presence = Some(presence);
        if needs_watcher {
            let setting = &self.inner.setting;
            setting.runtime.spawn(waits::watch(
                Arc::downgrade(&setting.server),
                Arc::clone(&self.inner.active_tests),
            ));
        }
        lane
    }

    fn idle_for(&self, lane_use: LaneUse) -> Option<Lane> {
        let mut idle = self.inner.idle();
        // All processes number the lanes alike. So a limit of the numbers is a limit of how many
        // tests of all processes have a `Database`.
        let position = idle
            .iter()
            .rposition(|lane| lane.lock.number() < lane_use.max_lanes())?;
        Some(idle.remove(position))
    }

    /// Whether an error can go away while the test waits.
    async fn is_transient(&self, error: &Error) -> Result<bool> {
        Ok(match error.kind() {
            // A connection becomes free when a test or another program closes one.
            ErrorKind::OutOfConnections => true,
            // Disk space becomes free only if another lane exists that can be returned and dropped.
            ErrorKind::OutOfSpace => self.inner.lane_locks.existing().await?.len() > 1,
            _ => false,
        })
    }

    /// Prepares a locked lane on the background runtime. The test's own runtime may end before the
    /// lane's connection is closed, and a connection cannot be used after the runtime that opened
    /// it has ended. An error returns the admission, so that the caller can try again with the
    /// permits that it has.
    async fn prepare_in_background(
        &self,
        lock: LaneLock,
        test: &str,
        lane_use: LaneUse,
        admission: Admission,
    ) -> Result<Lane, (Error, Admission)> {
        let (pool, test) = (self.clone(), test.to_owned());
        // Counted during preparation, too: an error states for how many lanes this process needs
        // connections.
        let held_lane = Arc::clone(&self.inner.held_lanes);
        let preparing = async move {
            match pool.prepare(&lock, &test, lane_use).await {
                Ok((prepared, connection)) => Ok(Ok(Lane {
                    session_database: prepared.session_database,
                    database: prepared.database,
                    connection,
                    session_name: test,
                    lock,
                    uses: prepared.uses,
                    session_count: None,
                    url_was_read: AtomicBool::new(false),
                    admission,
                    presence: None,
                    _held_count: held_lane,
                })),
                Err(error) => Ok(Err((error, admission))),
            }
        };
        // If the caller's future is dropped here, the task still runs to its end. It then drops the
        // lane, which unlocks it.
        match self.in_background(preparing).await {
            Ok(prepared) => prepared,
            // The background runtime has ended and dropped the admission.
            Err(error) => Err((error, Admission::default())),
        }
    }

    /// Runs a future as a task of the background runtime. The task runs to its end even if the
    /// caller's future is dropped, for example by a timeout of the test.
    pub(super) async fn in_background<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.inner
            .setting
            .runtime
            .spawn(work)
            .await
            .unwrap_or_else(|error| {
                Err(
                    Error::new(ErrorKind::ServerLost, "the background runtime ended")
                        .with_source(error),
                )
            })
    }

    /// Locks a lane that no process holds: the lane of nextest's slot first, then lanes that need
    /// no copy, then any.
    async fn try_lock_any(&self, lane_use: LaneUse) -> Result<Option<LaneLock>> {
        let lane_locks = &self.inner.lane_locks;
        let limit = lane_use.max_lanes();
        let slot = self.inner.setting.slot.map(|slot| slot % limit);
        let mut existing = lane_locks.existing().await?;
        existing.retain(|number| *number < limit);
        // Processes that nextest runs in parallel have different slots. Each takes the lane of its
        // slot even if that needs a copy, so the processes do not compete for the same lanes.
        for number in slot.into_iter().chain(existing.iter().copied()) {
            if let Some(lock) = lane_locks.try_lock(number).await?
                && (lock.state() != Some(LaneState::Unknown) || Some(number) == slot)
            {
                return Ok(Some(lock));
            }
        }
        // Now a lane that needs a copy. The existing ones come first: a copy replaces their
        // database, and a lane with another number adds one.
        for number in existing
            .iter()
            .copied()
            .chain((0..limit).filter(|number| !existing.contains(number)))
        {
            if let Some(lock) = lane_locks.try_lock(number).await? {
                return Ok(Some(lock));
            }
        }
        Ok(None)
    }

    /// Makes the database of a locked lane equal to the template and marks the lane as in use.
    async fn prepare(
        &self,
        lock: &LaneLock,
        test: &str,
        lane_use: LaneUse,
    ) -> Result<(PreparedLane, Option<LaneConnection>)> {
        // A sandbox and a relay open their own connections. If another client has dropped the
        // database, they find that then, and call `restore_missing`.
        let unchecked = match (lane_use, lock.state()) {
            (LaneUse::Sandbox | LaneUse::Relayed, Some(LaneState::Equal)) => {
                lock.database(&self.inner.setting.fingerprint).await?
            }
            _ => None,
        };
        let mut prepared = match unchecked {
            Some(database) => PreparedLane {
                session_database: database.clone(),
                database,
                uses: lock.uses(),
                connection: None,
            },
            None => self.make_equal_to_template(lock, test).await?,
        };
        // Before a session of the test connects, because this process may be killed after that.
        lock.mark(lane_use.state_in_use(), prepared.uses, &prepared.database)?;
        let connection = match prepared.connection.take() {
            None if lane_use == LaneUse::Transaction => {
                Some(self.connect_to_lane(&prepared.database, test).await?)
            }
            other => other,
        };
        Ok((prepared, connection.map(LaneConnection::New)))
    }

    /// Turns a driver's error into one that names the step and what the server's state explains.
    /// For a lack of connections, the help adds how many this process needs.
    pub(super) fn diagnose(&self, step: &str, error: sqlx::Error) -> Error {
        let error = self
            .inner
            .setting
            .server
            .diagnose(sql_error::failed(step, error));
        if error.kind() != ErrorKind::OutOfConnections {
            return error;
        }
        // One reference is the pool's own.
        let lanes = Arc::strong_count(&self.inner.held_lanes) - 1;
        let limits = self.inner.setting.server.connection_limits();
        error.with_help(format!(
            "this process needs up to {} connections for {lanes} lane{} and its own work; \
             {limits}: raise what is too low, close what else is connected, or run fewer tests at \
             once",
            lanes + SPARE_CONNECTIONS,
            if lanes == 1 { "" } else { "s" },
        ))
    }

    /// Takes back a lane that equals the template again. The lane becomes idle if its connection
    /// can serve another test; otherwise it is unlocked for any process.
    pub(super) fn put_back(&self, mut lane: Lane) -> Result<()> {
        // Waits are recorded by database, so this test must end before another one gets the lane.
        lane.presence = None;
        lane.admission.become_idle();
        // A worn lane keeps the mark of its use, so its next holder copies it. A lane with a void
        // lock must not become idle: another process may have locked it since the lock was lost.
        if !lane.is_worn() && !lane.lock.is_void() {
            lane.lock
                .mark(LaneState::Equal, lane.uses, &lane.database)?;
            if lane.is_reusable() {
                self.inner.idle().push(lane);
                self.start_watching_idle();
            }
        }
        self.inner.lane_returned.notify_one();
        Ok(())
    }

    /// Unlocks a lane and wakes a test that waits for one.
    pub(super) fn release(&self, lane: Lane) {
        // Unlocked before the notification, so that the test that wakes up can lock it.
        drop(lane);
        self.inner.lane_returned.notify_one();
    }
}

fn no_free_lane(lane_use: LaneUse) -> Error {
    Error::new(
        ErrorKind::Timeout,
        format!(
            "no lane became free within {} s: all {} are in use",
            LANE_LOCK_TIMEOUT.as_secs(),
            lane_use.max_lanes()
        ),
    )
    .with_help(format!(
        "run fewer tests at once, or look for tests that keep their `{}` in a static",
        lane_use.public_type()
    ))
}
