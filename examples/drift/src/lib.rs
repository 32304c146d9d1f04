//! Compares a database with the result of its migrations, independently of its ledger, and repairs
//! a disposable one.

mod drift;
mod replay;

pub use drift::{Drift, harness, revision};
pub use replay::{ReplayError, replay};
