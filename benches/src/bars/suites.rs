//! Whole test suites: ebbtide's tests and the same tests without it.

use crate::Error;
use crate::bars::{about, print};
use crate::ratios::alternate;
use crate::suite::{Runner, Suite, TestCount};

/// Two binaries of tests, and the bar for the ratio of their durations.
struct Pair {
    name: &'static str,
    runner: Runner,
    tests: TestCount,
    side: &'static str,
    reference: &'static str,
    bar: f64,
    rounds: usize,
}

const PAIRS: [Pair; 6] = [
    Pair {
        name: "tx-nextest-300",
        runner: Runner::Nextest,
        tests: TestCount::ThreeHundred,
        side: "transaction",
        reference: "bare",
        bar: 1.2,
        rounds: 7,
    },
    Pair {
        name: "tx-nextest-600",
        runner: Runner::Nextest,
        tests: TestCount::SixHundred,
        side: "transaction",
        reference: "bare",
        bar: 1.2,
        rounds: 5,
    },
    Pair {
        name: "pool-nextest-300",
        runner: Runner::Nextest,
        tests: TestCount::ThreeHundred,
        side: "pool",
        reference: "bare",
        bar: 1.6,
        rounds: 7,
    },
    Pair {
        name: "pool-nextest-600",
        runner: Runner::Nextest,
        tests: TestCount::SixHundred,
        side: "pool",
        reference: "bare",
        bar: 1.6,
        rounds: 5,
    },
    Pair {
        name: "pool-sqlx-process",
        runner: Runner::OneProcess,
        tests: TestCount::ThreeHundred,
        side: "pool",
        reference: "sqlx_test",
        bar: 0.08,
        rounds: 3,
    },
    Pair {
        name: "pool-sqlx-nextest",
        runner: Runner::Nextest,
        tests: TestCount::ThreeHundred,
        side: "pool",
        reference: "sqlx_test",
        bar: 0.16,
        rounds: 3,
    },
];

pub(super) async fn run(name: &str) -> Result<(), Error> {
    let pair = PAIRS
        .into_iter()
        .find(|pair| pair.name == name)
        .ok_or_else(|| format!("no pair of test suites {name}"))?;
    let suite = Suite::new().await?;
    let measure = |binary: &str| suite.run(pair.runner, pair.tests, binary);
    // The first run builds the binary. It also creates the lanes that later runs use.
    measure(pair.side)?;
    if pair.reference == "bare" {
        measure(pair.reference)?;
    } else {
        crate::suite::test_binary(pair.reference)?;
    }
    let ratios = alternate(
        pair.rounds,
        async || measure(pair.side),
        async || measure(pair.reference),
    )
    .await?;
    print(name, about(name), &ratios, pair.bar);
    suite.close().await
}
