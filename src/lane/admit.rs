//! Admits a test when it has the permits for all connections that it may open.
//!
//! ```text
//! queue (this process) -> turn (all processes) -> permits -> lane lock -> lane in use -> lane idle
//! |---------- place in the queue is held ---------------|
//!                         |---------- turn is held ----------------|
//! |---------- counted as waiting ----------------------------------------|- holding -|- one permit
//! ```
//!
//! A test takes all its permits before it opens a connection. If tests opened some connections and
//! then waited for more, each could wait for those of the others for ever. Tests that need one
//! permit keep arriving, and a test that needs six would never get them. So only the test with the
//! turn collects, of all tests of all processes.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::admission::{Admission, STALL_TIMEOUT};
use super::pool::LanePool;
use crate::error::{Error, ErrorKind, Result};
use crate::lane_lock::PERMIT_POLL_INTERVAL;
use crate::progress::Progress;

/// How long a test waits before its wait is reported.
const REPORT_DELAY: Duration = Duration::from_secs(1);
/// The time between two checks of the turn. A test that need not wait also holds the turn, but only
/// for a moment.
const RECHECK_DELAY: Duration = Duration::from_millis(50);

impl LanePool {
    /// Waits until the test has a permit for each of the `wanted` connections that it may open.
    ///
    /// First the test queues in this process, so that only one test of a process polls for the
    /// turn, which is a lock. With the turn it collects permits as they become free. Meanwhile it
    /// makes idle lanes of this process return theirs.
    ///
    /// # Errors
    /// The server is gone, or every test that has connections waits for more.
    pub(super) async fn admit(&self, test: &str, wanted: usize) -> Result<Admission> {
        let permits = self.permits();
        // Listed before the first wait: `stalled_for` ends a wait if every test that holds permits
        // is listed as waiting, too.
        let waiting = permits.waiting(test);
        let mut wait = AdmissionWait::new(self, test, wanted);
        let queue = {
            // One future for all reports, because dropping it would lose the place in the queue.
            let mut queue = Box::pin(permits.queue());
            loop {
                let mut pause = Box::pin(self.pause(REPORT_DELAY));
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
                // The turn may belong to another process. It may also belong to an earlier test of
                // this process, which keeps the turn until it has locked a lane.
                None => wait.pause().await,
            }
        };
        let mut collected = Vec::new();
        loop {
            permits.collect(&mut collected, wait.wanted).await?;
            if collected.len() >= wait.wanted {
                break;
            }
            // One at a time, because an idle lane saves the next test a connection.
            permits.reclaim_one();
            // The time counts from the last release, which may be that of the reclaimed permit.
            if permits.stalled_for(collected.len()) >= STALL_TIMEOUT {
                return Err(wait.stalled_error());
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

    /// Sleeps on the background runtime, because the test may have paused its own tokio clock.
    async fn pause(&self, length: Duration) {
        // `sleep` uses the clock of the runtime in which it is called, so it is called within the
        // task.
        let pause = self
            .setting()
            .runtime
            .spawn(async move { tokio::time::sleep(length).await });
        // If the background runtime has ended, the next poll reports an error.
        let _ = pause.await;
    }

    /// Whether a permit can still become free, so that a test should continue to wait. That is so
    /// if a test of this process holds one and does not wait for more, or if another process holds
    /// some.
    pub(super) async fn others_make_progress(&self) -> Result<bool> {
        let permits = self.permits();
        // In this order, because the second check takes every free permit for a moment.
        Ok(permits.stalled_for(permits.capacity()) < STALL_TIMEOUT
            || permits.are_held_elsewhere().await?)
    }

    /// Starts a task that closes the connections of idle lanes while a test of another process
    /// waits for permits. The task ends when there is no idle lane.
    pub(super) fn watch_idle(&self) {
        // Weak, so that the task does not keep a pool with its connections after its last use.
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
                // That a test waits is recognised by its turn. A test that need not wait holds the
                // turn, too, but only for a moment. So the task checks twice.
                if pool.is_turn_taken().await {
                    tokio::time::sleep(RECHECK_DELAY).await;
                    if pool.is_turn_taken().await {
                        // All of them, because a lock does not show how many permits are wanted.
                        while pool.close_one_idle() {}
                    }
                }
            }
        });
    }

    /// Whether a test holds the turn. The check takes a free turn for a moment.
    async fn is_turn_taken(&self) -> bool {
        // If the server is gone, the next use of a lane reports it.
        matches!(self.permits().try_turn().await, Ok(None))
    }
}

/// A test's wait for permits, which is reported once when it takes long.
struct AdmissionWait<'a> {
    lanes: &'a LanePool,
    test: &'a str,
    wanted: usize,
    began: Instant,
    progress: Option<Progress>,
}

impl<'a> AdmissionWait<'a> {
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
        reason = "a person may be watching a test that waits"
    )]
    fn report(&mut self) {
        if self.progress.is_some() || self.began.elapsed() < REPORT_DELAY {
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
            "test {} waits for {wanted} connection{} of the {capacity} that the server has for \
             tests (max_connections)",
            self.test,
            if wanted == 1 { "" } else { "s" },
        )
    }

    fn stalled_error(&self) -> Error {
        let message = format!(
            "no connection became free for test {} within {} s: every test that has connections \
             waits for more",
            self.test,
            STALL_TIMEOUT.as_secs()
        );
        let limits = self.lanes.setting().server.connection_limits();
        Error::new(ErrorKind::OutOfConnections, message).with_help(format!(
            "{limits}: raise what is too low, or let each test hold fewer databases at once"
        ))
    }
}
