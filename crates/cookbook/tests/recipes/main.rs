//! The recipes of `docs/cookbook.md`, one module for each.

mod listen;
mod page;
mod parallel;
mod queue;
mod roles;
mod tenants;
mod time;
