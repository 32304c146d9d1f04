//! The recipes of `docs/cookbook.md`, one module for each.

mod forks;
mod listen;
mod page;
mod parallel;
mod plans;
mod property;
mod queue;
mod roles;
mod snapshots;
mod tenants;
mod time;
mod versions;
