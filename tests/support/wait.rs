//! Waits for a condition.

use std::time::{Duration, Instant};

/// How long tests wait for a condition that must come true. It only ends a test that hangs: on a busy
/// machine, an engine can need a minute to start a container.
pub const HANG_LIMIT: Duration = Duration::from_mins(3);

/// Checks a condition every 20 milliseconds.
///
/// # Panics
/// If the condition does not hold within [`HANG_LIMIT`].
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + HANG_LIMIT;
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "did not happen within {HANG_LIMIT:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Checks every 25 milliseconds what is left, and returns how long it took until nothing was.
///
/// # Panics
/// If something is left after `limit`.
#[track_caller]
pub fn wait_until_none(limit: Duration, left: impl Fn() -> Vec<String>) -> Duration {
    let began = Instant::now();
    loop {
        let left = left();
        if left.is_empty() {
            return began.elapsed();
        }
        assert!(began.elapsed() < limit, "left after {limit:?}: {left:#?}");
        std::thread::sleep(Duration::from_millis(25));
    }
}
