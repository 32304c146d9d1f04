//! Runs a test on the backend that it is about, although the environment may select another one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ebbtide::ErrorKind;

use ebbtide::config::{Backend, Builder};

use super::Scratch;
use super::child_process::{run_passing, test_command};
use super::runtime::current_thread_runtime;
use super::skip::skip_test;

/// Variables that describe the server of one backend, and do not fit another backend.
const SERVER_VARIABLES: [&str; 3] = ["EBBTIDE_URL", "TEST_DATABASE_URL", "EBBTIDE_POSTGRES"];

/// Whether this process must run a test about the native backend. `test` is
/// [`this_test!`](super::this_test).
///
/// # Panics
/// See [`runs_on`].
pub fn runs_natively(test: &str) -> bool {
    runs_on(Backend::Native, test)
}

/// Whether this process must run a test about one backend.
///
/// The backend's variable overrides the builder. So if the environment selects another backend, a
/// child process runs the test with the right one, and this function returns `false` afterwards. It
/// also returns `false` if the backend is unavailable: it prints that the test is skipped.
///
/// # Panics
/// If the child's test fails, or if `EBBTIDE_REQUIRE` names a backend that is unavailable.
pub fn runs_on(backend: Backend, test: &str) -> bool {
    let scratch = Scratch::new();
    let harness = on(&scratch, backend).build().unwrap();
    if harness.plan().get("backend").unwrap().value == backend.to_string() {
        return is_available(backend, test);
    }
    let mut child = test_command(test);
    child.env("EBBTIDE_BACKEND", backend.to_string());
    for variable in SERVER_VARIABLES {
        child.env_remove(variable);
    }
    run_passing(&mut child);
    false
}

/// Whether this machine has the backend. If not, the test is skipped, or fails if `EBBTIDE_REQUIRE`
/// names the backend.
fn is_available(backend: Backend, test: &str) -> bool {
    static REASONS: Mutex<Option<HashMap<Backend, Option<String>>>> = Mutex::new(None);
    let mut reasons = REASONS.lock().unwrap_or_else(PoisonError::into_inner);
    let reason = reasons
        .get_or_insert_default()
        .entry(backend)
        .or_insert_with(|| unavailable_reason(backend))
        .clone();
    drop(reasons);
    if let Some(reason) = &reason {
        skip_test(test, &backend.to_string(), reason);
    }
    reason.is_none()
}

/// Why this machine lacks the backend, or `None` if it has it. Other errors of the start are left
/// to the test itself.
fn unavailable_reason(backend: Backend) -> Option<String> {
    // A new thread, because the test's thread may already be inside a runtime.
    let started = std::thread::spawn(move || {
        let harness = on(&Scratch::new(), backend).build()?;
        let runtime = current_thread_runtime();
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
