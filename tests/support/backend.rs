//! Tests about one backend, whichever the variables choose and whatever this machine has.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ebbtide::{Backend, Builder, ErrorKind};

use super::Scratch;
use super::again::{again, passed};
use super::skip::{SKIPPED, say, skip_test};

/// Variables that are about one server, and mean another when the backend is another.
const OF_ONE_SERVER: [&str; 3] = ["EBBTIDE_URL", "TEST_DATABASE_URL", "EBBTIDE_POSTGRES"];

/// Whether this process goes on with a test that is about servers from this machine's binaries. `test` is
/// [`here!`](super::here).
///
/// # Panics
/// As for [`only_on`].
pub fn natively(test: &str) -> bool {
    only_on(Backend::Native, test)
}

/// Whether this process goes on with a test that is about one backend: it is skipped where that cannot be had, and
/// where the variables choose another, a child has run it before this returns.
///
/// # Panics
/// The child's test has failed, or `EBBTIDE_REQUIRE` names a backend that is not to be had.
pub fn only_on(backend: Backend, test: &str) -> bool {
    let scratch = Scratch::new();
    if *on(&scratch, backend).build().unwrap().plan().backend == backend {
        return needs(backend, test);
    }
    let mut child = again(test);
    child.env("EBBTIDE_BACKEND", backend.to_string());
    for variable in OF_ONE_SERVER {
        child.env_remove(variable);
    }
    let said = passed(&child.output().unwrap());
    said.lines()
        .filter(|line| line.starts_with(SKIPPED))
        .for_each(say);
    false
}

/// Whether there is such a server. If not, the test is skipped, or fails where it may not be.
fn needs(backend: Backend, test: &str) -> bool {
    static MISSING: Mutex<Option<HashMap<Backend, Option<String>>>> = Mutex::new(None);
    let mut known = MISSING.lock().unwrap_or_else(PoisonError::into_inner);
    let reason = known
        .get_or_insert_default()
        .entry(backend)
        .or_insert_with(|| missing(backend))
        .clone();
    drop(known);
    if let Some(reason) = &reason {
        skip_test(test, &backend.to_string(), reason);
    }
    reason.is_none()
}

/// Why there is no server of this backend. One that is there and does not start is the test's own affair.
fn missing(backend: Backend) -> Option<String> {
    // A thread of its own, because the test's may run a runtime already.
    let started = std::thread::spawn(move || {
        let harness = on(&Scratch::new(), backend).build()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(harness.start()).map(drop)
    });
    let error = started.join().unwrap().err()?;
    let kinds = [
        ErrorKind::BackendUnavailable,
        ErrorKind::BinariesNotFound,
        ErrorKind::ImageUnavailable,
    ];
    kinds.contains(&error.kind()).then(|| error.to_string())
}

fn on(scratch: &Scratch, backend: Backend) -> Builder {
    scratch.builder().backend(backend)
}
