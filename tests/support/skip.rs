//! What a test does that needs something this machine does not have: it says that it was skipped and why, or fails
//! where `EBBTIDE_REQUIRE=container,native,external,alembic` names what it needs.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "every test binary uses a part of it"
)]
#![allow(unreachable_pub, missing_docs, reason = "it is code of tests")]

use std::io::Write as _;

/// What a skipped test says begins with it, on a line of its own. `.ci/run` looks for it.
pub const SKIPPED: &str = "SKIPPED: ";

/// Says that the test of this thread is skipped, or fails where `EBBTIDE_REQUIRE` (words with commas between them)
/// names the need.
#[track_caller]
pub fn skip(need: &str, why: &str) {
    skip_test(std::thread::current().name().unwrap_or("a test"), need, why);
}

/// The same for a test by its name.
#[track_caller]
pub fn skip_test(test: &str, need: &str, why: &str) {
    let required = std::env::var("EBBTIDE_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|word| word.trim() == need),
        "EBBTIDE_REQUIRE={required}, and {why}"
    );
    say(&format!("{SKIPPED}{test}: {why}"));
}

/// Past the runner, which keeps to itself what a test prints that passes.
pub fn say(line: &str) {
    // On a line of its own, whatever the runner has begun. Nobody may be listening.
    let _ = writeln!(std::io::stdout(), "\n{line}");
}
