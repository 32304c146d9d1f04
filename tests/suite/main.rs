//! The tests that any server can serve, and those that need none. The environment selects the
//! server, and `.ci/run` runs this binary on each backend.

#![expect(
    clippy::unwrap_used,
    unnameable_test_items,
    unreachable_pub,
    reason = "a test may unwrap and print, and its modules are private"
)]
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each of the two test binaries uses only a part of tests/support"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod broken_template;
mod checkpoints;
mod conformance;
mod database;
mod drift;
mod extensions;
mod failures;
mod failures_help;
mod failures_seeds;
mod forks;
mod guard;
mod health;
mod isolation;
mod layering;
mod ledgers;
mod locales;
mod many;
mod migration_sources;
mod plans;
mod psql_files;
mod reversible;
mod roles;
#[cfg(feature = "rstest")]
mod rstest_fixture;
mod salon;
mod sandbox;
mod seeds;
mod sequences;
mod setups;
mod statements;
mod versions;
#[cfg(not(feature = "container"))]
mod without_containers;
