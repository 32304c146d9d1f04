//! Whole test suites in one process, as `cargo test` runs them, in different numbers of threads.

use crate::Error;
use crate::suite::{Runner, Suite, TestCount};
use crate::table::Table;

const ROUNDS: usize = 3;
/// The binaries of `crates/compare`, and what their tests do.
const SIDES: [(&str, &str); 3] = [
    ("transaction", "ebbtide, Tx"),
    ("pool", "ebbtide, PgPool"),
    ("sqlx_test", "#[sqlx::test]"),
];

pub(super) async fn run(name: &str, threads: u8) -> Result<(), Error> {
    let suite = Suite::new().await?;
    let measure =
        |binary: &str| suite.run(Runner::Threads(threads), TestCount::ThreeHundred, binary);
    // The first run builds the binary. It also copies the lanes that later runs use.
    for binary in ["bare", "transaction", "pool"] {
        measure(binary)?;
    }
    crate::suite::test_binary("sqlx_test")?;
    let mut table = Table::new("bare BEGIN, ROLLBACK");
    for _ in 0..ROUNDS {
        let reference = measure("bare")?;
        for (binary, side) in SIDES {
            table.add(side, measure(binary)?, reference);
        }
    }
    table.print(name);
    suite.close().await
}
