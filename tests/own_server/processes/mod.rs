//! Real processes that share a native server. They end or are killed at any moment, and must leave
//! nothing.
//!
//! Each test has a state directory of its own, a [`Testbed`](crate::testbed::Testbed), so that it
//! can assert that nothing is left. The processes are [`Worker`](crate::worker::Worker)s.
// The tests find leftover processes in `/proc`.
#![cfg(target_os = "linux")]

mod copies;
mod dedicated;
mod endings;
mod forks;
mod interrupted;
mod killed;
mod leaks;
mod limits;
mod orphans;
mod own_sessions;
mod places;
#[cfg(feature = "progress")]
mod progress;
mod retiring;
mod sharing;
mod supervisors;
