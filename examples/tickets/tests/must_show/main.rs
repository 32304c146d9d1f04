//! What the ticketing service has to show. Its original failure was `relation "users" does not exist`, in production.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod accounts;
mod app;
mod failure;
mod health;
mod late;
mod startup;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The newest migration of this program.
const HEAD: i64 = 20_250_410_083_000;
/// The one before.
const BEFORE_HEAD: i64 = 20_250_403_100_000;
