//! Real processes that share containers. They end or are killed at any moment, and must leave
//! nothing.
//!
//! Each test has a state directory of its own, a [`ContainerTestbed`](testbed::ContainerTestbed).
//! Containers have the directory's inode as a label, so that the test can assert that none is left.
//! The processes are [`Worker`](crate::worker::Worker)s. The tests send their own requests to the
//! engine by [`Daemon`](crate::daemon::Daemon).
// The tests find leftover processes in `/proc`.
#![cfg(all(target_os = "linux", feature = "container"))]

mod cache;
mod dedicated;
mod killed;
mod leaks;
mod lost;
mod remote;
mod retiring;
mod sharing;
mod sweeping;
mod testbed;
