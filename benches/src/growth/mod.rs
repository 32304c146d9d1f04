//! What grows with the amount of work: the ratio of a larger amount's cost to the smallest one's.

mod curve;
mod migrations;
mod processes;
mod template;
mod tests;

use crate::Error;
use crate::scratch::Scratch;

/// The name and the description of each.
pub(crate) const BENCHMARKS: [(&str, &str); 5] = [
    (
        "growth-tests",
        "100 to 10,000 Tx in one process: a Tx / one of 100",
    ),
    (
        "growth-attach",
        "10 to 2,000 migrations: a later process with a Tx / with 10",
    ),
    (
        "growth-build",
        "10 to 2,000 migrations: first build, a migration / one of 10",
    ),
    (
        "growth-template",
        "rows of 10 MB to 1 GB: the copy of a lane / with 10 MB",
    ),
    (
        "growth-processes",
        "1 to 64 processes at once, a Tx each: a process / alone",
    ),
];

pub(crate) async fn run(name: &'static str, scratch: &Scratch) -> Result<(), Error> {
    let curve = match name {
        "growth-tests" => tests::run().await?,
        "growth-attach" => migrations::attach(scratch).await?,
        "growth-build" => migrations::build(scratch).await?,
        "growth-template" => template::run(name, scratch).await?,
        _ => processes::run(scratch).await?,
    };
    curve.print(name);
    curve.plot(name)
}
