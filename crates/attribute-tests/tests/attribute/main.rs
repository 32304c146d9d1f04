//! `#[ebbtide::test]` on a real PostgreSQL: what every form of it means, and what its failures look like.
//!
//! Every test of this binary writes what it asserts the absence of, so that what one leaves is another's failure.
//! Tests that must fail are functions within others, which a runner does not find: see [`again`].

#![expect(
    unnameable_test_items,
    reason = "what is expected to fail is called by the test around it"
)]
#![expect(clippy::unwrap_used, reason = "it is code of tests")]

mod again;
mod arguments;
mod attributes;
mod deeper;
mod expectations;
mod fixture_forms;
mod isolation;
mod keeping;
mod leaks;
mod migration_forms;
mod outcomes;
mod reports;
mod runtimes;
mod slow;
mod sqlx_forms;
mod support;
mod timeouts;
mod transactions;
