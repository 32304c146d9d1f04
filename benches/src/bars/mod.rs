//! The limits that ebbtide sets itself: the median of a ratio, and whether it is below its bar.

mod attach;
mod cold;
#[cfg(feature = "container")]
mod container;
mod endurance;
mod suites;
mod tx;

use crate::Error;
use crate::ratios::Ratios;
use crate::scratch::Scratch;

pub(crate) use tx::guarded;

/// The name and the description of each.
pub(crate) const BENCHMARKS: [(&str, &str); 12] = [
    (
        "tx-nextest-300",
        "300 tests, nextest: Tx / bare BEGIN, ROLLBACK",
    ),
    (
        "tx-nextest-600",
        "600 tests, nextest: Tx / bare BEGIN, ROLLBACK",
    ),
    (
        "pool-nextest-300",
        "300 tests, nextest: PgPool / bare BEGIN, ROLLBACK",
    ),
    (
        "pool-nextest-600",
        "600 tests, nextest: PgPool / bare BEGIN, ROLLBACK",
    ),
    (
        "pool-sqlx-process",
        "300 tests, one process: PgPool / #[sqlx::test]",
    ),
    (
        "pool-sqlx-nextest",
        "300 tests, nextest: PgPool / #[sqlx::test]",
    ),
    (
        "tx-process",
        "one process, one INSERT each: Tx / bare BEGIN, ROLLBACK",
    ),
    ("attach", "a process with a Tx: 1,000 migrations / 10"),
    (
        "cold-migrations",
        "second cold start to a Tx's row: 500 migrations / 10",
    ),
    (
        "cold-initdb",
        "second cold start to a Tx's row / initdb, pg_ctl -w start",
    ),
    (
        "container",
        "container, no cache, to a Tx's row / docker run to first row",
    ),
    (
        "endurance",
        "100,000 Tx: the last thousand / the first thousand",
    ),
];

pub(crate) async fn run(name: &'static str, scratch: &Scratch) -> Result<(), Error> {
    match name {
        "tx-process" => tx::run(name).await,
        "attach" => attach::run(name, scratch).await,
        "cold-migrations" => cold::migrations(name, scratch).await,
        "cold-initdb" => cold::initdb(name, scratch).await,
        #[cfg(feature = "container")]
        "container" => container::run(name, scratch).await,
        #[cfg(not(feature = "container"))]
        "container" => Err("the feature `container` is off".into()),
        "endurance" => endurance::run(name).await,
        _ => suites::run(name).await,
    }
}

/// Prints the line of a bar.
#[expect(clippy::print_stdout, reason = "the program prints its results")]
fn print(name: &str, what: &str, ratios: &Ratios, bar: f64) {
    if let Some(summary) = ratios.summary() {
        let verdict = summary.verdict(bar);
        println!("{name:<22} {summary}  bar {bar:.2}: {verdict:<16}  {what}");
    }
}

/// The description of a bar.
fn about(name: &str) -> &'static str {
    BENCHMARKS
        .into_iter()
        .find(|(known, _)| *known == name)
        .map_or("", |(_, about)| about)
}
