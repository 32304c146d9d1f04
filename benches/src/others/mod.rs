//! Other ways to a database for tests: by hand, and with other libraries.

mod ladder;
mod per_test;
#[cfg(feature = "others")]
mod subprocess;
#[cfg(feature = "others")]
mod test_harness;
mod threads;

use crate::Error;
use crate::scratch::Scratch;

#[cfg(feature = "others")]
pub(crate) use subprocess::run_alone;

/// The name and the description of each.
pub(crate) const BENCHMARKS: [(&str, &str); 8] = [
    (
        "ladder",
        "from nothing to a first row / initdb, pg_ctl -w start",
    ),
    (
        "per-test-5",
        "5 tables, one process: a test / one on a bare connection",
    ),
    (
        "per-test-51",
        "51 tables, one process: a test / one on a bare connection",
    ),
    (
        "per-test-301",
        "301 tables, one process: a test / one on a bare connection",
    ),
    (
        "per-test-pg18",
        "5 tables, PostgreSQL 18: a test / one on a bare connection",
    ),
    (
        "threads-1",
        "300 tests, 1 thread: a side / bare BEGIN, ROLLBACK",
    ),
    (
        "threads-2",
        "300 tests, 2 threads: a side / bare BEGIN, ROLLBACK",
    ),
    (
        "threads-8",
        "300 tests, 8 threads: a side / bare BEGIN, ROLLBACK",
    ),
];

pub(crate) async fn run(name: &str, scratch: &Scratch) -> Result<(), Error> {
    match name {
        "per-test-5" => per_test::run(name, 5, scratch).await,
        "per-test-51" => per_test::run(name, 51, scratch).await,
        "per-test-301" => per_test::run(name, 301, scratch).await,
        #[cfg(feature = "others")]
        "per-test-pg18" => test_harness::run(name, scratch).await,
        #[cfg(not(feature = "others"))]
        "per-test-pg18" => Err("the feature `others` is off".into()),
        "threads-1" => threads::run(name, 1).await,
        "threads-2" => threads::run(name, 2).await,
        "threads-8" => threads::run(name, 8).await,
        _ => ladder::run(name, scratch).await,
    }
}
