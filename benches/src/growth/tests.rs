//! Many transactions in one process.

use std::time::Instant;

use super::curve::Curve;
use crate::Error;
use crate::bars::guarded;
use crate::suite::Suite;

const COUNTS: [u32; 3] = [100, 1_000, 10_000];
const ROUNDS: usize = 3;

pub(super) async fn run() -> Result<Curve, Error> {
    let suite = Suite::new().await?;
    // The first transaction copies a lane and fills the caches of its session.
    guarded(&suite).await?;
    let mut curve = Curve::new("Tx");
    for _ in 0..ROUNDS {
        let mut times = Vec::new();
        for count in COUNTS {
            let began = Instant::now();
            for _ in 0..count {
                guarded(&suite).await?;
            }
            times.push((count, began.elapsed() / count));
        }
        curve.add_round(&times);
    }
    suite.close().await?;
    Ok(curve)
}
