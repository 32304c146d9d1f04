//! Servers that ebbtide did not start: every test has one of its own, with roles, passwords and limits, which plays the
//! server that somebody else runs.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(
    unnameable_test_items,
    reason = "what is expected to fail is called by the test around it"
)]

#[macro_use]
#[path = "../support/reports.rs"]
mod reports;

mod candidates;
mod crowds;
mod dedicated;
mod environment;
mod leftovers;
mod machines;
mod outside;
#[expect(dead_code, reason = "these scenes pull fewer of its strings")]
#[path = "../processes/puppet.rs"]
mod puppet;
mod refusals;
mod rights;
mod statements;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "tls")]
mod tls;
mod waits;
