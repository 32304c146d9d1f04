//! Everything that can be wrong with a container engine and its images, and what ebbtide says about it.
//!
//! Variables beat the builder and cannot be changed within a process, so the tests play in children of theirs.
#![cfg(all(target_os = "linux", feature = "container"))]
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "the modules of `tests/containers` have more than is used here"
)]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

#[macro_use]
#[path = "../support/reports.rs"]
mod reports;

mod addresses;
mod children;
#[path = "../containers/daemon.rs"]
mod daemon;
mod engine;
mod images;
mod networks;
#[path = "../containers/relay.rs"]
mod relay;
mod starts;
#[path = "../support/mod.rs"]
mod support;
