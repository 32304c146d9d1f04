//! Who has which lane of this process, since when, whom they have waited for, and whose test is at its end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::task::AbortHandle;

use crate::names::DatabaseName;

/// The tests that have lanes of one pool.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    register: Mutex<Register>,
}

#[derive(Debug, Default)]
struct Register {
    next: u64,
    present: BTreeMap<u64, Tenant>,
    /// Whether somebody looks after those who stay long.
    is_watched: bool,
}

#[derive(Debug)]
struct Tenant {
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
pub(super) struct Tenancy {
    /// When the lane was handed out.
    pub(super) since: SystemTime,
    number: u64,
    tenants: Arc<Tenants>,
}

/// Watches a test's end: it ends with the value.
#[derive(Debug)]
pub(super) struct EndWatch<'a>(&'a Tenancy);

impl Tenants {
    /// Notes that a lane is handed out, and says whether nobody watches yet.
    pub(super) fn enter(self: &Arc<Self>, database: &DatabaseName) -> (Tenancy, bool) {
        let mut register = self.register();
        let number = register.next;
        register.next += 1;
        let tenant = Tenant {
            database: database.clone(),
            since: Instant::now(),
            waits: Vec::new(),
            end: None,
        };
        register.present.insert(number, tenant);
        let is_first = !std::mem::replace(&mut register.is_watched, true);
        drop(register);
        (
            Tenancy {
                since: SystemTime::now(),
                number,
                tenants: Arc::clone(self),
            },
            is_first,
        )
    }

    /// The databases of those who have been there for so long; none at all when nobody is there, and then nobody watches.
    pub(super) fn longer_than(&self, time: Duration) -> Option<Vec<String>> {
        let mut register = self.register();
        if register.present.is_empty() {
            register.is_watched = false;
            return None;
        }
        let long = register
            .present
            .values()
            .filter(|tenant| tenant.since.elapsed() > time);
        Some(
            long.map(|tenant| tenant.database.as_str().to_owned())
                .collect(),
        )
    }

    /// Notes what was told of a wait on a database.
    pub(super) fn note_wait(&self, database: &str, told: &str) {
        for tenant in self
            .register()
            .present
            .values_mut()
            .filter(|tenant| tenant.database.as_str() == database)
        {
            tenant.waits.push(told.to_owned());
        }
    }

    /// Starts a task for each test whose end has lasted for so long, once: it gets the test's number and database.
    pub(super) fn cancel_late(
        &self,
        time: Duration,
        start: impl Fn(u64, DatabaseName) -> AbortHandle,
    ) {
        for (number, tenant) in &mut self.register().present {
            if let Some(end) = &mut tenant.end
                && end.canceller.is_none()
                && end.since.elapsed() >= time
            {
                end.canceller = Some(start(*number, tenant.database.clone()));
            }
        }
    }

    /// Notes that the server is about to be asked to cancel the statements of a test that is at its end.
    pub(super) fn note_cancel(&self, number: u64) {
        if let Some(end) = self
            .register()
            .present
            .get_mut(&number)
            .and_then(|tenant| tenant.end.as_mut())
        {
            end.has_cancelled = true;
        }
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenancy {
    pub(super) fn waits(&self) -> Vec<String> {
        self.tenants
            .register()
            .present
            .get(&self.number)
            .map(|tenant| tenant.waits.clone())
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
        if let Some(tenant) = self.tenants.register().present.get_mut(&self.number) {
            tenant.end = end;
        }
    }
}

impl EndWatch<'_> {
    /// Whether a statement may have been cancelled.
    pub(super) fn has_cancelled(&self) -> bool {
        let register = self.0.tenants.register();
        let end = register
            .present
            .get(&self.0.number)
            .and_then(|tenant| tenant.end.as_ref());
        end.is_some_and(|end| end.has_cancelled)
    }
}

impl Drop for EndWatch<'_> {
    fn drop(&mut self) {
        self.0.set_end(None);
    }
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        self.tenants.register().present.remove(&self.number);
    }
}
