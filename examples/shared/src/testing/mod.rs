//! What the tests of both services need.

mod client;
mod late;
mod log;

pub use client::{get, post};
pub use late::{forward, reserved_port, through};
pub use log::Log;
