//! Real processes against a real server: they share it, are killed at every bad moment, and leave nothing behind.
//!
//! Every scenario has a state directory of its own, so that it can count what is left, and every actor in it is a
//! [`puppet::Puppet`]: this very executable, run again, which does what it is told on its standard input.
// What is left is read from `/proc`.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[macro_use]
#[path = "../support/reports.rs"]
mod reports;

mod dedicated;
mod endings;
mod interrupted;
mod killed;
mod leaks;
mod limits;
mod orphans;
mod own_sessions;
mod places;
#[cfg(feature = "progress")]
mod progress;
mod puppet;
mod retiring;
#[path = "../support/rounds.rs"]
mod rounds;
mod scene;
mod sharing;
mod supervisors;
#[path = "../support/mod.rs"]
mod support;
