//! Many transactions on one server: whether the last ones take longer than the first, and whether
//! the memory of the server grows.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::Error;
use crate::bars::tx::guarded;
use crate::bars::{about, print};
use crate::memory::{Memory, postmaster};
use crate::ratios::{Ratios, median};
use crate::suite::Suite;

const BAR: f64 = 1.05;
const TX_COUNT: usize = 100_000;
/// The number of transactions in the first and in the last median.
const SAMPLE_SIZE: usize = 1_000;

pub(super) async fn run(name: &str) -> Result<(), Error> {
    let suite = Suite::new().await?;
    let mut connection = PgConnection::connect_with(&suite.bare().connect_options()).await?;
    let postmaster = postmaster(&mut connection).await?;
    let mut times = Vec::with_capacity(TX_COUNT);
    let mut before = None;
    for number in 0..TX_COUNT {
        if number == SAMPLE_SIZE {
            before = Memory::now(postmaster);
        }
        times.push(guarded(&suite).await?);
    }
    let after = Memory::now(postmaster);
    let mut ratios = Ratios::default();
    ratios.push(
        median(&times[TX_COUNT - SAMPLE_SIZE..]),
        median(&times[..SAMPLE_SIZE]),
    );
    print(name, about(name), &ratios, BAR);
    if let (Some(before), Some(after)) = (before, after) {
        for (what, before, after) in [
            (
                "memory of the server, after / before",
                before.server,
                after.server,
            ),
            (
                "memory of this process, after / before",
                before.own,
                after.own,
            ),
        ] {
            // A ratio of KiB: the unit does not matter.
            let mut ratios = Ratios::default();
            ratios.push(Duration::from_millis(after), Duration::from_millis(before));
            print(name, what, &ratios, BAR);
        }
    }
    connection.close().await?;
    suite.close().await
}
