//! Helpers for the tests of both services.

mod client;
mod late;
mod log;

pub use client::{get, post};
pub use late::{forward, reserved_port, with_port};
pub use log::Log;
