//! What ebbtide occupies: memory, disk space, crates and the time of a build.

mod build;
mod server;

use crate::Error;
use crate::scratch::Scratch;

/// The name and the description of each.
pub(crate) const BENCHMARKS: [(&str, &str); 3] = [
    (
        "footprint-server",
        "memory and disk space: server, lane, template, test process",
    ),
    (
        "build-crates",
        "crates that ebbtide adds to sqlx and tokio in a build",
    ),
    (
        "build-time",
        "a clean build: with ebbtide / sqlx and tokio; only by its name",
    ),
];

pub(crate) async fn run(name: &'static str, scratch: &Scratch) -> Result<(), Error> {
    match name {
        "footprint-server" => server::run(name, scratch).await,
        "build-crates" => build::crates(name, scratch),
        _ => build::time(name, scratch),
    }
}
