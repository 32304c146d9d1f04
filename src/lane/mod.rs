//! Leases private copies of a template, and hands them out inside guarded transactions.

mod guard;
mod pool;
mod tx;

pub(crate) use pool::{LanePool, LaneSetting};
pub use tx::{Kept, Tx};
