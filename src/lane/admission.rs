//! Admits a test once it has the permits for all connections that it may open.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::pool::{LanePool, LaneUse};
use crate::error::{Error, ErrorKind, Result};
use crate::lane_lock::{CollectingTurn, Named, PERMIT_POLL_INTERVAL, Permit};
use crate::progress::Progress;

/// Connections of the pool that a `Database` test gets, as in `#[sqlx::test]`.
pub(super) const POOL_CONNECTIONS: usize = 5;
/// How long tests that hold connections and wait for more may keep each other from going on.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// After so long a wait is reported.
const REPORT_AFTER: Duration = Duration::from_secs(1);
/// Another test has the turn for a moment without waiting, too.
const RECHECK_DELAY: Duration = Duration::from_millis(50);

/// A test's permits, for as long as it has its lane.
#[derive(Debug, Default)]
pub(super) struct Admission {
    permits: Vec<Permit>,
    /// Until a lane is found, so that tests get lanes in their order, too.
    turn: Option<CollectingTurn>,
    /// Until it has its lane: the server may refuse it all the same, when others than ebbtide use its connections.
    waiting: Option<Named>,
    holding: Option<Named>,
}

impl Admission {
    /// The test has its lane.
    pub(super) fn complete(&mut self, lanes: &LanePool, test: &str) {
        self.end_turn();
        self.waiting = None;
        self.holding = Some(lanes.permits().holding(test));
    }

    pub(super) fn end_turn(&mut self) {
        self.turn = None;
    }

    /// Connections of the pool of a `Database`; one is for ebbtide's own use, where there are two.
    pub(super) fn pool_connections(&self) -> u32 {
        let all = u32::try_from(self.permits.len()).unwrap_or(u32::MAX);
        all.saturating_sub(1).max(1)
    }

    /// Whether the test's own connections leave one for the lane's.
    pub(super) fn has_spare_connection(&self) -> bool {
        self.permits.len() > 1
    }

    /// The test is over, and only the lane's own connection stays.
    pub(super) fn shrink(&mut self) {
        self.permits.truncate(1);
    }

    /// No test has the lane.
    pub(super) fn idle(&mut self) {
        self.shrink();
        self.holding = None;
    }
}

impl LanePool {
    fn wanted(&self, lane_use: LaneUse) -> usize {
        match lane_use {
            LaneUse::Transaction | LaneUse::Sandbox | LaneUse::Relayed => 1,
            LaneUse::Whole => (POOL_CONNECTIONS + 1).min(self.permits().capacity()),
        }
    }

    /// Waits until the server has the connections that the test may open, for as long as others use them.
    ///
    /// # Errors
    /// The server is gone, or all tests that have connections wait for more.
    pub(super) async fn admit(&self, test: &str, lane_use: LaneUse) -> Result<Admission> {
        let waiting = self.permits().waiting(test);
        let mut wait = Wait::new(self, test, self.wanted(lane_use));
        let permits = self.permits();
        let queue = {
            let mut queue = Box::pin(permits.queue());
            loop {
                let mut pause = Box::pin(self.pause(REPORT_AFTER));
                let first = std::future::poll_fn(|context| match queue.as_mut().poll(context) {
                    Poll::Ready(place) => Poll::Ready(Some(place)),
                    Poll::Pending => pause.as_mut().poll(context).map(|()| None),
                });
                match first.await {
                    Some(place) => break place,
                    None => wait.report(),
                }
            }
        };
        let turn = loop {
            match permits.try_turn().await? {
                Some(turn) => break turn,
                None => wait.pause().await,
            }
        };
        let mut collected = Vec::new();
        loop {
            permits.collect(&mut collected, wait.wanted).await?;
            if collected.len() >= wait.wanted {
                break;
            }
            permits.reclaim_one();
            if permits.stalled_for(collected.len()) >= STALL_TIMEOUT {
                return Err(wait.stalled());
            }
            wait.pause().await;
        }
        drop(queue);
        Ok(Admission {
            permits: collected,
            turn: Some(turn),
            waiting: Some(waiting),
            holding: None,
        })
    }

    /// On the background runtime, because a test's own clock may stand still.
    async fn pause(&self, length: Duration) {
        // A timer belongs to the runtime in whose context it is made: within the task that is the background one.
        let pause = self
            .setting()
            .runtime
            .spawn(async move { tokio::time::sleep(length).await });
        // Either way the next look decides.
        let _ = pause.await;
    }

    /// Whether tests that hold connections go on, so that one who waits need not give up.
    pub(super) async fn others_go_on(&self) -> Result<bool> {
        let permits = self.permits();
        Ok(permits.stalled_for(permits.capacity()) < STALL_TIMEOUT
            || permits.are_held_elsewhere().await?)
    }

    /// Gives the connections of idle lanes back while a test of another process waits.
    pub(super) fn watch_idle(&self) {
        let pool = Arc::downgrade(self.inner());
        let interval = self.permits().idle_check_interval();
        self.setting().runtime.spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                let Some(pool) = pool.upgrade().map(LanePool::from_inner) else {
                    return;
                };
                if !pool.has_idle() {
                    pool.stop_watching_idle();
                    return;
                }
                if pool.is_waited_for().await {
                    tokio::time::sleep(RECHECK_DELAY).await;
                    if pool.is_waited_for().await {
                        while pool.drop_idle() {}
                    }
                }
            }
        });
    }

    async fn is_waited_for(&self) -> bool {
        // A server that is gone shows at the next use.
        matches!(self.permits().try_turn().await, Ok(None))
    }
}

/// One test's wait, which is reported once it takes long.
struct Wait<'a> {
    lanes: &'a LanePool,
    test: &'a str,
    wanted: usize,
    began: Instant,
    progress: Option<Progress>,
}

impl<'a> Wait<'a> {
    fn new(lanes: &'a LanePool, test: &'a str, wanted: usize) -> Self {
        Self {
            lanes,
            test,
            wanted,
            began: Instant::now(),
            progress: None,
        }
    }

    async fn pause(&mut self) {
        self.lanes.pause(PERMIT_POLL_INTERVAL).await;
        self.report();
    }

    #[expect(
        clippy::print_stderr,
        reason = "a person who looks at a test that stands still"
    )]
    fn report(&mut self) {
        if self.progress.is_some() || self.began.elapsed() < REPORT_AFTER {
            return;
        }
        let step = self.step();
        self.progress = Some(Progress::start(&step));
        if self.lanes.permits().is_first_report() {
            eprintln!("ebbtide: {step}");
        }
    }

    fn step(&self) -> String {
        let (wanted, capacity) = (self.wanted, self.lanes.permits().capacity());
        format!(
            "test {} waits for {wanted} connection{} of the {capacity} that the server has for tests (max_connections)",
            self.test,
            if wanted == 1 { "" } else { "s" },
        )
    }

    fn stalled(&self) -> Error {
        let message = format!(
            "lane lease: no connection after {} s: every test that has connections waits for more, {} among them",
            STALL_TIMEOUT.as_secs(),
            self.test
        );
        let limits = self.lanes.setting().server.connection_limits();
        Error::new(ErrorKind::OutOfConnections, message).with_help(format!(
            "{limits}: raise what is too low, or let each test hold fewer databases at once"
        ))
    }
}
