//! Waits for a condition.

use std::time::{Duration, Instant};

/// Checks a condition every 20 milliseconds.
///
/// # Panics
/// If the condition does not hold within 30 seconds.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "did not happen within 30 s: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
