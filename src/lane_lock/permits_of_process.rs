//! The permits of each server, once for this process.
//!
//! Several harnesses of a process may use one server. Their tests count together: a test that has
//! databases of two harnesses holds permits of one server, and the idle lanes of one harness give
//! way to a test of the other.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::locks::Locks;
use super::permits::Permits;

/// By the server's place and its capacity. An entry without a user is replaced by the next one.
static ALL: Mutex<BTreeMap<(String, usize), Weak<Permits>>> = Mutex::new(BTreeMap::new());

/// The permits of a server with an instance directory.
pub(crate) fn in_dir(server_dir: &Path, capacity: usize) -> Arc<Permits> {
    shared(&server_dir.display().to_string(), capacity, |place| {
        Permits::in_dir(server_dir, place, capacity)
    })
}

/// The permits of an external server at `place`.
pub(crate) fn by_locks(locks: &Locks, place: &str, capacity: usize) -> Arc<Permits> {
    shared(place, capacity, |place| {
        Permits::by_locks(locks, place, capacity)
    })
}

/// The permits of all servers that this process uses.
pub(super) fn all() -> Vec<Arc<Permits>> {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.values().filter_map(Weak::upgrade).collect()
}

fn shared(place: &str, capacity: usize, make: impl FnOnce(&str) -> Permits) -> Arc<Permits> {
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (place.to_owned(), capacity);
    if let Some(permits) = all.get(&key).and_then(Weak::upgrade)
        && !permits.are_lost()
    {
        return permits;
    }
    all.retain(|_, permits| permits.strong_count() > 0);
    let permits = Arc::new(make(place));
    all.insert(key, Arc::downgrade(&permits));
    permits
}
