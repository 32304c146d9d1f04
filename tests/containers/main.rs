//! Real processes against real containers: they share them, are killed at every bad moment, and leave nothing behind.
//!
//! Every test has a state directory of its own, whose number is a label of its containers, so that it can count what is
//! left. Its actors are [`puppet::Puppet`]s, as in `tests/processes`; the engine is asked by [`daemon::Daemon`].
// What is left is read from `/proc`.
#![cfg(all(target_os = "linux", feature = "container"))]
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "the modules of `tests/processes` have more than is used here"
)]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod cache;
mod daemon;
mod dedicated;
mod killed;
mod leaks;
mod lost;
#[path = "../processes/puppet.rs"]
mod puppet;
mod relay;
mod remote;
mod retiring;
#[path = "../support/rounds.rs"]
mod rounds;
#[path = "../processes/scene.rs"]
mod scene;
mod sharing;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod sweeping;
