//! Skips a test that needs something which this machine lacks.
//!
//! Such a test prints that it is skipped, and why. It fails instead if
//! `EBBTIDE_REQUIRE=container,native,external,alembic,sql-migrate,memory` names what it needs.

use std::io::Write as _;

/// The beginning of the line that a skipped test prints. `.ci/run` searches for it.
pub const SKIPPED_PREFIX: &str = "SKIPPED: ";

/// Prints that the test of this thread is skipped.
///
/// # Panics
/// If `need` is one of the words in `EBBTIDE_REQUIRE`, which are separated by commas.
#[track_caller]
pub fn skip(need: &str, why: &str) {
    skip_test(std::thread::current().name().unwrap_or("a test"), need, why);
}

/// Like [`skip`], for the test of this name.
#[track_caller]
pub fn skip_test(test: &str, need: &str, why: &str) {
    let required = std::env::var("EBBTIDE_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|word| word.trim() == need),
        "EBBTIDE_REQUIRE={required} requires {need}, but {why}"
    );
    print_uncaptured(&format!("{SKIPPED_PREFIX}{test}: {why}"));
}

/// Prints a line that also appears if the test passes: libtest captures `println!`, but not this.
pub fn print_uncaptured(line: &str) {
    // The runner may have begun a line, so this one needs a line break first. A closed stdout is no
    // reason to fail.
    let _ = writeln!(std::io::stdout(), "\n{line}");
}
