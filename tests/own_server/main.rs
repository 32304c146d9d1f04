//! Tests that choose their own backend, start and kill servers, containers and processes, and count
//! what is left. The functions of the shell scripts have their tests here, too. The value of
//! `EBBTIDE_BACKEND` makes no difference to any of them.
//!
//! They are separate from the binary `suite` for two reasons. The processes that they start are
//! this executable, started again. And `.ci/run` runs `suite` on every backend, but these tests
//! once.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    unnameable_test_items,
    reason = "test code"
)]
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each of the test binaries uses only a part of tests/support"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

// `cargo test` begins in the order of names: these two take long, and would run alone at the end.
mod against_pg_dump;
mod first_test;

mod containers;
mod crowd;
#[cfg(feature = "container")]
mod daemon;
mod drift;
#[cfg(feature = "container")]
mod engine_proxy;
mod external;
mod failures_container;
mod failures_server;
mod hostile;
mod joiners;
mod lane_marks;
mod memory;
#[cfg(feature = "macros")]
mod plans;
mod processes;
mod rounds;
mod running_server;
mod saved;
mod scripts;
mod testbed;
#[cfg(not(feature = "container"))]
mod without_containers;
mod worker;
