//! Tests of what ebbtide makes of a plan's inputs: migrations, seeds, dumps, ledgers, extensions. The
//! environment selects the server, but what the files mean is independent of it. So `.ci/run` runs
//! this binary once.

#![expect(
    clippy::unwrap_used,
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

mod broken_template;
mod extensions;
mod failures_help;
mod ledgers;
mod locales;
mod migration_sources;
mod plans;
mod psql_files;
mod seeds;
