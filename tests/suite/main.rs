//! Tests of what a test may do with its database: any server can serve them. The environment
//! selects the server, and `.ci/run` runs this binary on each backend.

#![expect(
    clippy::unwrap_used,
    unnameable_test_items,
    unreachable_pub,
    reason = "a test may unwrap and print, and its modules are private"
)]
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each of the test binaries uses only a part of tests/support"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod checkpoints;
mod conformance;
mod database;
mod drift;
mod failures;
mod failures_seeds;
mod forks;
mod guard;
mod health;
mod isolation;
mod layering;
mod many;
mod reversible;
mod roles;
#[cfg(feature = "rstest")]
mod rstest_fixture;
mod salon;
mod sandbox;
mod sequences;
mod setups;
mod statements;
mod versions;
