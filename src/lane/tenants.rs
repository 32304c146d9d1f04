//! Who has which lane of this process, since when, and whom they have waited for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

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
}

/// One test's time with a lane, which ends with the value.
#[derive(Debug)]
pub(super) struct Tenancy {
    /// When the lane was handed out.
    pub(super) since: SystemTime,
    number: u64,
    tenants: Arc<Tenants>,
}

impl Tenants {
    /// Notes that a lane is handed out, and says whether nobody watches yet.
    pub(super) fn enter(self: &Arc<Self>, database: &DatabaseName) -> (Tenancy, bool) {
        let mut register = self.register();
        let number = register.next;
        register.next += 1;
        let tenant = Tenant { database: database.clone(), since: Instant::now(), waits: Vec::new() };
        register.present.insert(number, tenant);
        let is_first = !std::mem::replace(&mut register.is_watched, true);
        drop(register);
        (Tenancy { since: SystemTime::now(), number, tenants: Arc::clone(self) }, is_first)
    }

    /// The databases of those who have been there for so long; none at all when nobody is there, and then nobody watches.
    pub(super) fn longer_than(&self, time: Duration) -> Option<Vec<String>> {
        let mut register = self.register();
        if register.present.is_empty() {
            register.is_watched = false;
            return None;
        }
        let long = register.present.values().filter(|tenant| tenant.since.elapsed() > time);
        Some(long.map(|tenant| tenant.database.as_str().to_owned()).collect())
    }

    /// Notes what was told of a wait on a database.
    pub(super) fn note_wait(&self, database: &str, told: &str) {
        for tenant in self.register().present.values_mut().filter(|tenant| tenant.database.as_str() == database) {
            tenant.waits.push(told.to_owned());
        }
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenancy {
    pub(super) fn waits(&self) -> Vec<String> {
        self.tenants.register().present.get(&self.number).map(|tenant| tenant.waits.clone()).unwrap_or_default()
    }
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        self.tenants.register().present.remove(&self.number);
    }
}
