//! `#[ebbtide::test]` on a real PostgreSQL: the effect of each option, and the reports of failures.
//!
//! The tests insert the rows whose absence they assert at their start. If one test leaves a row
//! behind, another test fails. Tests that must fail are functions inside other tests; see
//! [`child_process`].

#![expect(
    unnameable_test_items,
    reason = "tests that must fail are functions inside other tests"
)]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod arguments;
mod attributes;
mod child_process;
mod deeper;
mod expectations;
mod fixture_forms;
mod forks;
mod keeping;
mod leaks;
mod migration_forms;
mod outcomes;
mod plans;
mod pool_option;
mod reports;
mod runtimes;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the other tests of this repository use all of it"
)]
#[path = "../../../../tests/support/skip.rs"]
mod skip;
mod slow;
mod sqlx_forms;
mod support;
mod timeouts;
mod transactions;
mod versions;
mod without_cargo;
