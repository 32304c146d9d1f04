//! Other ways to a database for tests: by hand, and with other libraries.

mod ladder;
mod per_test;
#[cfg(feature = "others")]
mod subprocess;

use crate::Error;
use crate::scratch::Scratch;

#[cfg(feature = "others")]
pub(crate) use subprocess::run_alone;

/// The name and the description of each.
pub(crate) const BENCHMARKS: [(&str, &str); 4] = [
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
];

pub(crate) async fn run(name: &str, scratch: &Scratch) -> Result<(), Error> {
    match name {
        "per-test-5" => per_test::run(name, 5, scratch).await,
        "per-test-51" => per_test::run(name, 51, scratch).await,
        "per-test-301" => per_test::run(name, 301, scratch).await,
        _ => ladder::run(name, scratch).await,
    }
}
