//! Compares a database with what the migrations make, whatever its ledger says, and mends a disposable one.

mod drift;
mod replay;

pub use drift::{Drift, harness, revision};
pub use replay::{ReplayError, replay};
