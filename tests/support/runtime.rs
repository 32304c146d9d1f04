//! A runtime for a test that is no async function.

use tokio::runtime::{Builder, Runtime};

/// A runtime on the current thread, as `#[tokio::test]` creates one.
pub fn current_thread_runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
