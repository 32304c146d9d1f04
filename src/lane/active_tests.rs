//! Who has which lane of this process, since when, whom they have waited for, and whose test is at its end.

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
    next: u64,
    present: BTreeMap<u64, ActiveTest>,
    /// Whether somebody looks after those who stay long.
    is_watched: bool,
}

#[derive(Debug)]
struct ActiveTest {
    database: DatabaseName,
    since: Instant,
    /// What it waited for, as it was told.
    waits: Vec<String>,
    /// The test's end, while it lasts.
    end: Option<End>,
}

#[derive(Debug)]
struct End {
    since: Instant,
    /// The task that cancels what still runs. It ends with the test: the next one may have the same database.
    canceller: Option<AbortHandle>,
    has_cancelled: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(canceller) = &self.canceller {
            canceller.abort();
        }
    }
}

/// One test's time with a lane, which ends with the value.
#[derive(Debug)]
pub(super) struct TestPresence {
    /// When the lane was handed out.
    pub(super) since: SystemTime,
    number: u64,
    active_tests: Arc<ActiveTests>,
}

/// Watches a test's end: it ends with the value.
#[derive(Debug)]
pub(super) struct EndWatch<'a>(&'a TestPresence);

impl ActiveTests {
    /// Notes that a lane is handed out, and says whether nobody watches yet.
    pub(super) fn enter(self: &Arc<Self>, database: &DatabaseName) -> (TestPresence, bool) {
        let mut register = self.register();
        let number = register.next;
        register.next += 1;
        let test = ActiveTest {
            database: database.clone(),
            since: Instant::now(),
            waits: Vec::new(),
            end: None,
        };
        register.present.insert(number, test);
        let is_first = !std::mem::replace(&mut register.is_watched, true);
        drop(register);
        (
            TestPresence {
                since: SystemTime::now(),
                number,
                active_tests: Arc::clone(self),
            },
            is_first,
        )
    }

    /// The databases of those who have been there for so long; none at all when nobody is there, and then nobody watches.
    pub(super) fn present_longer_than(&self, time: Duration) -> Option<Vec<String>> {
        let mut register = self.register();
        if register.present.is_empty() {
            register.is_watched = false;
            return None;
        }
        let long = register
            .present
            .values()
            .filter(|test| test.since.elapsed() > time);
        Some(long.map(|test| test.database.as_str().to_owned()).collect())
    }

    /// Notes what was told of a wait on a database.
    pub(super) fn note_wait(&self, database: &str, told: &str) {
        for test in self
            .register()
            .present
            .values_mut()
            .filter(|test| test.database.as_str() == database)
        {
            test.waits.push(told.to_owned());
        }
    }

    /// Starts a task for each test whose end has lasted for so long, once: it gets the test's number and database.
    pub(super) fn cancel_late(
        &self,
        time: Duration,
        start: impl Fn(u64, DatabaseName) -> AbortHandle,
    ) {
        for (number, test) in &mut self.register().present {
            if let Some(end) = &mut test.end
                && end.canceller.is_none()
                && end.since.elapsed() >= time
            {
                end.canceller = Some(start(*number, test.database.clone()));
            }
        }
    }

    /// Notes that the server is about to be asked to cancel the statements of a test that is at its end.
    pub(super) fn note_cancel(&self, number: u64) {
        if let Some(end) = self
            .register()
            .present
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
            .present
            .get(&self.number)
            .map(|test| test.waits.clone())
            .unwrap_or_default()
    }

    /// Begins the test's end. A statement that still runs after a while is cancelled.
    pub(super) fn end(&self) -> EndWatch<'_> {
        self.set_end(Some(End {
            since: Instant::now(),
            canceller: None,
            has_cancelled: false,
        }));
        EndWatch(self)
    }

    fn set_end(&self, end: Option<End>) {
        if let Some(test) = self.active_tests.register().present.get_mut(&self.number) {
            test.end = end;
        }
    }
}

impl EndWatch<'_> {
    /// Whether a statement may have been cancelled.
    pub(super) fn has_cancelled(&self) -> bool {
        let register = self.0.active_tests.register();
        let end = register
            .present
            .get(&self.0.number)
            .and_then(|test| test.end.as_ref());
        end.is_some_and(|end| end.has_cancelled)
    }
}

impl Drop for EndWatch<'_> {
    fn drop(&mut self) {
        self.0.set_end(None);
    }
}

impl Drop for TestPresence {
    fn drop(&mut self) {
        self.active_tests.register().present.remove(&self.number);
    }
}
