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
//! use before the test's first statement; `put_back` and a new copy mark it `Equal`. So a killed
//! process leaves a mark, and the mark states what the lane needs: nothing, a reset or a new copy.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::active_tests::ActiveTests;
use super::admin_connection::AdminConnection;
use super::lane_use::LaneUse;
use super::leased::Lane;
use super::test_role::TestRole;
use super::waits;
use crate::config::{Keep, Sourced};
use crate::conn::ConnParams;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::DeferrableConstraints;
use crate::lane_lock::{IdlePermits, LaneLocks, LaneState, Permits};
use crate::names::{DatabaseName, Fingerprint};
use crate::server::Server;
use crate::sql_error;
use crate::template::{CopyVersions, Freshness, Template, TemplateSource};

/// Connections that a process needs beside those of its lanes: one that holds locks, and one or two
/// that copy.
const SPARE_CONNECTIONS: usize = 3;

/// The server, the fingerprint and the parts of the plan that a pool of lanes depends on.
#[derive(Debug)]
pub(crate) struct LaneSetting {
    pub(crate) server: Arc<Server>,
    /// How tests connect to the server.
    pub(crate) conn: ConnParams,
    /// The role as which tests log in, if it is not the role that administers the server.
    pub(crate) test_role: Option<TestRole>,
    /// Whether a line states that the policies of the schema do not apply to the tests.
    pub(crate) notes_bypass: bool,
    pub(crate) fingerprint: Fingerprint,
    /// The background runtime. The connections belong to this runtime, because they must outlive
    /// the runtime of the test.
    pub(crate) runtime: Handle,
    /// The number of the lane to try first, where the test runner numbers its slots.
    pub(crate) slot: Option<usize>,
    /// Reports contain the plans of statements that take longer.
    pub(crate) log_plans_slower_than: Option<Duration>,
    /// Which tests keep their databases.
    pub(crate) keep: Sourced<Keep>,
    /// How long a kept database exists.
    pub(crate) keep_for: Duration,
    /// The name of the plan, unless it is the default plan.
    pub(crate) plan: Option<String>,
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
    /// Whether this process has looked for a note that an earlier one recorded.
    has_read_note: AtomicBool,
    /// Whether this process has looked for what killed processes left of forks.
    has_searched: AtomicBool,
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
        let deferrable = if lane_locks.has_only_immediate_constraints() {
            DeferrableConstraints::absent()
        } else {
            DeferrableConstraints::default()
        };
        let inner = Arc::new(Inner {
            setting,
            template_source,
            lane_locks,
            idle: Mutex::default(),
            has_read_note: AtomicBool::new(false),
            has_searched: AtomicBool::new(false),
            is_idle_watched: AtomicBool::new(false),
            admin_connection: AdminConnection::default(),
            lane_returned: Notify::new(),
            held_lanes: Arc::default(),
            active_tests: Arc::default(),
            deferrable,
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

    pub(super) fn permits(&self) -> &Arc<Permits> {
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

    pub(super) fn lane_locks(&self) -> &LaneLocks {
        &self.inner.lane_locks
    }

    /// Notified when a lane of this process becomes idle or unlocked.
    pub(super) fn lane_returned(&self) -> &Notify {
        &self.inner.lane_returned
    }

    /// A clone of the counter of locked lanes. The lane counts for as long as the clone exists.
    pub(super) fn held_count(&self) -> Arc<()> {
        Arc::clone(&self.inner.held_lanes)
    }

    /// Whether this is the first call, of all clones of the pool.
    pub(super) fn is_first_look_for_note(&self) -> bool {
        !self.inner.has_read_note.swap(true, Ordering::Relaxed)
    }

    /// Whether this is the first call, of all clones of the pool.
    pub(super) fn is_first_search(&self) -> bool {
        !self.inner.has_searched.swap(true, Ordering::Relaxed)
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

    /// The versions of a lane that is equal to the template.
    pub(super) fn versions_of(&self, lane: DatabaseName) -> Box<dyn CopyVersions> {
        Arc::clone(&self.inner.template_source).versions_of(lane)
    }

    /// Prepares one lane, which proves that the server is running.
    pub(crate) async fn warm_up(&self) -> Result<()> {
        let lane = self.acquire("ebbtide", LaneUse::Transaction, None).await?;
        self.put_back(lane)
    }

    /// Ends the test's admission, and registers the test as active until it returns the lane. The
    /// first active test starts the task that reports lock waits; the task ends when no test is
    /// active.
    pub(super) fn hand_out(&self, mut lane: Lane, test: &str) -> Lane {
        lane.admission.complete(self.permits(), test);
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

    /// Removes an idle lane whose number permits this use from the pool, if there is one.
    pub(super) fn idle_for(&self, lane_use: LaneUse) -> Option<Lane> {
        let mut idle = self.inner.idle();
        // All processes number the lanes alike. So a limit of the numbers is a limit of how many
        // tests of all processes have a `Database`.
        let position = idle
            .iter()
            .rposition(|lane| lane.lock.number() < lane_use.max_lanes())?;
        Some(idle.remove(position))
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
