//! The tests of the ticketing service. Its original failure in production was
//! `relation "users" does not exist`.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod accounts;
mod app;
mod failure;
mod health;
mod late;
mod startup;
mod tenants;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The version of the program's latest migration.
const HEAD: i64 = 20_250_417_090_000;
/// The version of the migration before it.
const BEFORE_HEAD: i64 = 20_250_410_083_000;
