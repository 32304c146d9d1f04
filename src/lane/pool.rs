//! Leases lanes: to this process by [`LaneLocks`], within it to one test at a time.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::active_tests::ActiveTests;
use super::admin_connection::AdminConnection;
use super::admission::{Admission, STALL_TIMEOUT};
use super::guard::Deferrable;
use super::leased::{Lane, LaneConnection};
use super::prepare::Ready;
use super::waits;
use crate::conn::ConnParams;
use crate::error::{Error, ErrorKind, Result};
use crate::lane_lock::{LaneLock, LaneLocks, LaneState, Permits};
use crate::names::Fingerprint;
use crate::server::Server;
use crate::sql_error;
use crate::template::Template;

/// Lanes of one fingerprint on one server: more tests than that at once wait for each other.
pub(super) const MAX_LANES: usize = 64;
/// How many of them may be lent whole: each may want a handful of connections.
const MAX_DATABASES: usize = 32;
const LANE_LOCK_TIMEOUT: Duration = Duration::from_mins(1);
/// Pauses between looks for a lane that somebody else returns, and for a connection that somebody else closes.
const LANE_LOCK_POLL_INTERVAL: Duration = Duration::from_millis(20);
const LANE_LOCK_POLL_INTERVAL_LONG: Duration = Duration::from_millis(100);
/// Connections that a process needs beside those of its lanes: one that holds locks, and one or two that copy.
const SPARE_CONNECTIONS: usize = 3;

/// What the pool needs to know of its surroundings.
#[derive(Debug)]
pub(crate) struct LaneSetting {
    pub(crate) server: Arc<Server>,
    /// How tests reach it.
    pub(crate) conn: ConnParams,
    pub(crate) fingerprint: Fingerprint,
    /// Where connections live, since they must outlive the runtime of the test that uses them.
    pub(crate) runtime: Handle,
    /// Which lane to try first, where the test runner numbers its slots.
    pub(crate) slot: Option<usize>,
    /// The plans of statements that take longer are shown.
    pub(crate) log_plans_slower_than: Option<Duration>,
    /// How long kept databases stay.
    pub(crate) keep_for: Duration,
    /// `SET` statements for settings that the driver's own start-up message overrides.
    pub(crate) session: String,
    /// The directory whose migrations would have run, if it existed.
    pub(crate) absent_migrations: Option<PathBuf>,
}

/// Whether what was seen of a template is enough. It may be dropped when nobody holds a lane of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    Once,
    Again,
}

/// Makes sure that the template is there and returns it. Called before a copy, never on the way to a ready lane.
pub(crate) type TemplateSource = Box<
    dyn Fn(Freshness) -> std::pin::Pin<Box<dyn Future<Output = Result<Template>> + Send>>
        + Send
        + Sync,
>;

/// All lanes of one fingerprint that this process may use.
#[derive(Clone)]
pub(crate) struct LanePool {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    setting: LaneSetting,
    template: TemplateSource,
    leases: LaneLocks,
    idle: Mutex<Vec<Lane>>,
    /// Whether a task looks if another process waits for the connections of idle lanes.
    is_idle_watched: AtomicBool,
    admin_connection: AdminConnection,
    returned: Notify,
    /// Shared by every lane that this process holds.
    held: Arc<()>,
    active_tests: Arc<ActiveTests>,
    deferrable: Deferrable,
}

impl fmt::Debug for LanePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LanePool")
            .field("setting", &self.inner.setting)
            .finish_non_exhaustive()
    }
}

/// What a lane is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneUse {
    /// Its connection, inside a transaction.
    Transaction,
    /// A connection that somebody else makes, inside a transaction.
    Sandbox,
    /// One that goes through a relay, inside a transaction.
    Relayed,
    /// The database itself, commits and all.
    Whole,
}

impl LaneUse {
    fn limit(self) -> usize {
        match self {
            Self::Transaction | Self::Sandbox | Self::Relayed => MAX_LANES,
            Self::Whole => MAX_DATABASES,
        }
    }

    fn mark(self) -> LaneState {
        match self {
            Self::Transaction | Self::Sandbox | Self::Relayed => LaneState::Unknown,
            Self::Whole => LaneState::Lent,
        }
    }
}

impl LanePool {
    pub(crate) fn new(setting: LaneSetting, template: TemplateSource) -> Self {
        let leases = setting.server.lanes(&setting.fingerprint);
        let inner = Inner {
            setting,
            template,
            leases,
            idle: Mutex::default(),
            is_idle_watched: AtomicBool::new(false),
            admin_connection: AdminConnection::default(),
            returned: Notify::new(),
            held: Arc::default(),
            active_tests: Arc::default(),
            deferrable: Deferrable::default(),
        };
        let pool = Self {
            inner: Arc::new(inner),
        };
        let idler = Arc::downgrade(&pool.inner);
        pool.permits().add_idle(move || {
            let pool = idler.upgrade().map(Self::from_inner)?;
            Some(usize::from(pool.drop_idle()))
        });
        pool
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
        !self.idle().is_empty()
    }

    /// Closes the connection of one idle lane. Its database stays as it is, for the next test of any process.
    pub(super) fn drop_idle(&self) -> bool {
        let lane = self.idle().pop();
        let Some(lane) = lane else { return false };
        // The connection's end may need the runtime that it was made on.
        let _runtime = self.inner.setting.runtime.enter();
        drop(lane);
        true
    }

    pub(super) fn stop_watching_idle(&self) {
        self.inner.is_idle_watched.store(false, Ordering::Release);
        // A lane may have come back between the look and this.
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

    pub(super) fn deferrable(&self) -> &Deferrable {
        &self.inner.deferrable
    }

    pub(super) fn admin_connection(&self) -> &AdminConnection {
        &self.inner.admin_connection
    }

    pub(super) async fn template(&self, look: Freshness) -> Result<Template> {
        (self.inner.template)(look).await
    }

    /// Gets one lane ready, which proves that the server is there.
    pub(crate) async fn warm_up(&self) -> Result<()> {
        let lane = self.lease("ebbtide", LaneUse::Transaction).await?;
        self.put_back(lane)
    }

    /// A lane that equals the template, marked as in use.
    #[tracing::instrument(name = "lane.lease", level = "debug", skip(self))]
    pub(super) async fn lease(&self, test: &str, lane_use: LaneUse) -> Result<Lane> {
        // An idle lane has its one permit already. A whole database needs more, and waits for them without holding any.
        if lane_use != LaneUse::Whole
            && let Some(mut lane) = self.idle_for(lane_use)
        {
            lane.lease
                .mark(lane_use.mark(), lane.uses, &lane.database)?;
            lane.admission.complete(self, test);
            return Ok(self.handed_out(lane));
        }
        let mut admission = self.admit(test, lane_use).await?;
        let began = Instant::now();
        loop {
            if let Some(mut lane) = self.idle_for(lane_use) {
                lane.lease
                    .mark(lane_use.mark(), lane.uses, &lane.database)?;
                admission.complete(self, test);
                lane.admission = admission;
                return Ok(self.handed_out(lane));
            }
            let pause = match self.claim(lane_use).await? {
                Some(lease) => {
                    admission.end_turn();
                    match self.ready(lease, test, lane_use, admission).await {
                        Ok(mut lane) => {
                            lane.admission.complete(self, test);
                            return Ok(self.handed_out(lane));
                        }
                        Err((error, returned)) => {
                            let may_wait =
                                began.elapsed() < STALL_TIMEOUT || self.others_go_on().await?;
                            if !may_wait || !self.may_pass(&error).await? {
                                return Err(error);
                            }
                            admission = returned;
                            // They may be what there is too much of.
                            while self.drop_idle() {}
                            LANE_LOCK_POLL_INTERVAL_LONG
                        }
                    }
                }
                None if began.elapsed() >= LANE_LOCK_TIMEOUT && !self.others_go_on().await? => {
                    return Err(none_free(lane_use));
                }
                None => LANE_LOCK_POLL_INTERVAL,
            };
            let pool = self.clone();
            // Another process returns its lanes without telling us, hence the limit. The wait belongs to the
            // background runtime, because a test's own clock may stand still.
            let wait = self.inner.setting.runtime.spawn(async move {
                let notified = pool.inner.returned.notified();
                // Either way the next look decides.
                let _ = tokio::time::timeout(pause, notified).await;
            });
            // The same holds for a wait that could not be finished.
            let _ = wait.await;
        }
    }

    /// Notes that a test has the lane from now on.
    fn handed_out(&self, mut lane: Lane) -> Lane {
        let (presence, is_first) = self.inner.active_tests.enter(&lane.database);
        lane.presence = Some(presence);
        if is_first {
            let setting = &self.inner.setting;
            setting.runtime.spawn(waits::watch(
                Arc::downgrade(&setting.server),
                Arc::clone(&self.inner.active_tests),
            ));
        }
        lane
    }

    fn idle_for(&self, lane_use: LaneUse) -> Option<Lane> {
        let mut idle = self.idle();
        let position = idle
            .iter()
            .rposition(|lane| lane.lease.number() < lane_use.limit())?;
        Some(idle.remove(position))
    }

    /// Whether an error goes away when others close their connections or return their lanes, or one comes back here.
    async fn may_pass(&self, error: &Error) -> Result<bool> {
        Ok(match error.kind() {
            ErrorKind::OutOfConnections => true,
            ErrorKind::OutOfSpace => self.inner.leases.existing().await?.len() > 1,
            _ => false,
        })
    }

    /// On the background runtime, because a connection dies with the runtime that made it.
    async fn ready(
        &self,
        lease: LaneLock,
        test: &str,
        lane_use: LaneUse,
        admission: Admission,
    ) -> Result<Lane, (Error, Admission)> {
        let (pool, test) = (self.clone(), test.to_owned());
        // Counted while it is prepared, too: an error states for how many lanes this process needs connections.
        let held = Arc::clone(&self.inner.held);
        let preparing = async move {
            match pool.prepare(&lease, &test, lane_use).await {
                Ok((ready, connection)) => Ok(Ok(Lane {
                    session_database: ready.session_database,
                    database: ready.database,
                    connection,
                    session_name: test,
                    lease,
                    uses: ready.uses,
                    sessions: None,
                    has_url: AtomicBool::new(false),
                    admission,
                    presence: None,
                    _held: held,
                })),
                Err(error) => Ok(Err((error, admission))),
            }
        };
        match self.in_background(preparing).await {
            Ok(prepared) => prepared,
            // The runtime has ended, and with it what it held.
            Err(error) => Err((error, Admission::default())),
        }
    }

    /// Does something where it goes on when whoever waits for it is gone.
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

    /// The lease of a lane that nobody holds: the slot's own first, then ready ones, then any.
    async fn claim(&self, lane_use: LaneUse) -> Result<Option<LaneLock>> {
        let leases = &self.inner.leases;
        let limit = lane_use.limit();
        let slot = self.inner.setting.slot.map(|slot| slot % limit);
        let mut existing = leases.existing().await?;
        existing.retain(|number| *number < limit);
        for number in slot.into_iter().chain(existing.iter().copied()) {
            if let Some(lease) = leases.try_lease(number).await?
                && (lease.state() != Some(LaneState::Unknown) || Some(number) == slot)
            {
                return Ok(Some(lease));
            }
        }
        for number in existing
            .iter()
            .copied()
            .chain((0..limit).filter(|number| !existing.contains(number)))
        {
            if let Some(lease) = leases.try_lease(number).await? {
                return Ok(Some(lease));
            }
        }
        Ok(None)
    }

    async fn prepare(
        &self,
        lease: &LaneLock,
        test: &str,
        lane_use: LaneUse,
    ) -> Result<(Ready, Option<LaneConnection>)> {
        let as_it_is = match (lane_use, lease.state()) {
            (LaneUse::Sandbox | LaneUse::Relayed, Some(LaneState::Equal)) => {
                lease.database(&self.inner.setting.fingerprint).await?
            }
            _ => None,
        };
        let mut ready = match as_it_is {
            Some(database) => Ready {
                session_database: database.clone(),
                database,
                uses: lease.uses(),
                connection: None,
            },
            None => self.equal_to_template(lease, test).await?,
        };
        lease.mark(lane_use.mark(), ready.uses, &ready.database)?;
        let connection = match ready.connection.take() {
            None if lane_use == LaneUse::Transaction => {
                Some(self.connect_to_lane(&ready.database, test).await?)
            }
            other => other,
        };
        Ok((ready, connection.map(LaneConnection::New)))
    }

    pub(super) fn diagnose(&self, step: &str, error: sqlx::Error) -> Error {
        let error = self
            .inner
            .setting
            .server
            .diagnose(sql_error::failed(step, error));
        if error.kind() != ErrorKind::OutOfConnections {
            return error;
        }
        let lanes = Arc::strong_count(&self.inner.held) - 1;
        let limits = self.inner.setting.server.connection_limits();
        error.with_help(format!(
            "this process needs up to {} connections for {lanes} lane{} and its own work; {limits}: raise what is too low, \
             close what else is connected, or run fewer tests at once",
            lanes + SPARE_CONNECTIONS,
            if lanes == 1 { "" } else { "s" },
        ))
    }

    /// Takes back a lane that equals the template again.
    pub(super) fn put_back(&self, mut lane: Lane) -> Result<()> {
        lane.presence = None;
        lane.admission.idle();
        // A void lease may be somebody else's by now.
        if !lane.is_worn() && !lane.lease.is_void() {
            lane.lease
                .mark(LaneState::Equal, lane.uses, &lane.database)?;
            if lane.is_reusable() {
                self.idle().push(lane);
                self.start_watching_idle();
            }
        }
        self.inner.returned.notify_one();
        Ok(())
    }

    /// Gives up a lane, which somebody may wait for.
    pub(super) fn freed(&self, lane: Lane) {
        drop(lane);
        self.inner.returned.notify_one();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Lane>> {
        self.inner
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn none_free(lane_use: LaneUse) -> Error {
    let (limit, what) = match lane_use {
        LaneUse::Transaction | LaneUse::Relayed => (MAX_LANES, "`Tx`"),
        LaneUse::Sandbox => (MAX_LANES, "`Sandbox`"),
        LaneUse::Whole => (MAX_DATABASES, "`Database`"),
    };
    Error::new(
        ErrorKind::Timeout,
        format!(
            "lane lease: no lane after {} s (all {limit} are held)",
            LANE_LOCK_TIMEOUT.as_secs()
        ),
    )
    .with_help(format!(
        "run fewer tests at once, or look for tests that keep their {what} in a static"
    ))
}
