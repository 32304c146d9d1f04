//! The tests of this process that have lanes: since when, which lock waits were reported, and
//! whether they are ending.
//!
//! ```text
//!   add
//!    |
//!    v      TestPresence::end           STATEMENT_GRACE later
//!  running ------------------> ending ------------------------> ending, with a canceller task
//!    |  ^                         | EndWatch dropped               | EndWatch dropped
//!    |  +-------------------------+--------------------------------+ aborts the task
//!    v
//!  removed, when TestPresence is dropped
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::task::AbortHandle;

use crate::names::DatabaseName;

/// The tests that have lanes of one pool.
#[derive(Debug, Default)]
pub(super) struct ActiveTests {
    register: Mutex<Register>,
}

#[derive(Debug, Default)]
struct Register {
    next_number: u64,
    tests: BTreeMap<u64, ActiveTest>,
    /// Whether the task `waits::watch` is running for these tests.
    is_watched: bool,
}

#[derive(Debug)]
struct ActiveTest {
    database: DatabaseName,
    since: Instant,
    /// The reports of its lock waits.
    waits: Vec<String>,
    /// Present while the test's transaction is being closed.
    end: Option<End>,
}

#[derive(Debug)]
struct End {
    since: Instant,
    /// The task that cancels statements that still run.
    canceller: Option<AbortHandle>,
    /// Whether that task has asked the server to cancel, so that the close may receive
    /// `query_canceled`.
    has_cancelled: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        // The canceller must not outlive the end of its test. The next test may have the same
        // database, and the canceller would cancel the statements of that test.
        if let Some(canceller) = &self.canceller {
            canceller.abort();
        }
    }
}

/// The registration of a test that has a lane. Dropping the value removes it.
#[derive(Debug)]
pub(super) struct TestPresence {
    /// When the lane was handed out.
    pub(super) since: SystemTime,
    number: u64,
    active_tests: Arc<ActiveTests>,
}

/// Marks a test as ending until the value is dropped.
#[derive(Debug)]
pub(super) struct EndWatch<'a>(&'a TestPresence);

impl ActiveTests {
    /// Registers a test. Also returns whether the caller must start the watching task, because none
    /// is running.
    pub(super) fn add(self: &Arc<Self>, database: &DatabaseName) -> (TestPresence, bool) {
        // One lock covers the registration and the flag. The watching task clears the flag under
        // the same lock when it finds no test. So there is neither a test without a watching task,
        // nor a second task.
        let mut register = self.register();
        let number = register.next_number;
        register.next_number += 1;
        let test = ActiveTest {
            database: database.clone(),
            since: Instant::now(),
            waits: Vec::new(),
            end: None,
        };
        register.tests.insert(number, test);
        let needs_watcher = !std::mem::replace(&mut register.is_watched, true);
        drop(register);
        (
            TestPresence {
                // Reports compare this with the times in the server's log.
                since: SystemTime::now(),
                number,
                active_tests: Arc::clone(self),
            },
            needs_watcher,
        )
    }

    /// The databases of the tests that have had their lane for longer than `time`. Returns `None`
    /// if there is no test at all; then the caller, which is the watching task, must end.
    pub(super) fn databases_in_use_longer_than(&self, time: Duration) -> Option<Vec<String>> {
        let mut register = self.register();
        if register.tests.is_empty() {
            register.is_watched = false;
            return None;
        }
        let long = register
            .tests
            .values()
            .filter(|test| test.since.elapsed() > time);
        Some(long.map(|test| test.database.as_str().to_owned()).collect())
    }

    /// Records the report of a lock wait for the test that has this database.
    pub(super) fn record_wait(&self, database: &str, report: &str) {
        // By database, which no two tests have at the same time. A test may change the
        // `application_name` of its sessions.
        for test in self
            .register()
            .tests
            .values_mut()
            .filter(|test| test.database.as_str() == database)
        {
            test.waits.push(report.to_owned());
        }
    }

    /// Calls `start` once for each test whose end has lasted for `time`, with the test's number and
    /// database. `start` spawns the task that cancels the test's statements.
    pub(super) fn start_cancellers(
        &self,
        time: Duration,
        start: impl Fn(u64, DatabaseName) -> AbortHandle,
    ) {
        for (number, test) in &mut self.register().tests {
            if let Some(end) = &mut test.end
                && end.canceller.is_none()
                && end.since.elapsed() >= time
            {
                // The lock is held until the handle is stored. Otherwise the end could be over
                // before, and nothing would abort the task.
                end.canceller = Some(start(*number, test.database.clone()));
            }
        }
    }

    /// Records that ebbtide is about to request the cancellation of an ending test's statements.
    pub(super) fn record_cancellation(&self, number: u64) {
        // By number, because the next test may have the same database. The end may be over
        // already.
        if let Some(end) = self
            .register()
            .tests
            .get_mut(&number)
            .and_then(|test| test.end.as_mut())
        {
            end.has_cancelled = true;
        }
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TestPresence {
    pub(super) fn waits(&self) -> Vec<String> {
        self.active_tests
            .register()
            .tests
            .get(&self.number)
            .map(|test| test.waits.clone())
            .unwrap_or_default()
    }

    /// Marks the test as ending. A statement that still runs after a grace period is cancelled.
    pub(super) fn end(&self) -> EndWatch<'_> {
        self.set_end(Some(End {
            since: Instant::now(),
            canceller: None,
            has_cancelled: false,
        }));
        EndWatch(self)
    }

    fn set_end(&self, end: Option<End>) {
        if let Some(test) = self.active_tests.register().tests.get_mut(&self.number) {
            test.end = end;
        }
    }
}

impl EndWatch<'_> {
    /// Whether ebbtide has requested the cancellation of the test's statements.
    pub(super) fn has_cancelled(&self) -> bool {
        let register = self.0.active_tests.register();
        let end = register
            .tests
            .get(&self.0.number)
            .and_then(|test| test.end.as_ref());
        end.is_some_and(|end| end.has_cancelled)
    }
}

impl Drop for EndWatch<'_> {
    fn drop(&mut self) {
        // This also runs if the future of the close is dropped.
        self.0.set_end(None);
    }
}

impl Drop for TestPresence {
    fn drop(&mut self) {
        self.active_tests.register().tests.remove(&self.number);
    }
}
