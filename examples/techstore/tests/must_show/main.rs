//! What the shop's foundation has to show: its acceptance criteria, one module for each.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod conflicts;
mod health;
mod init;
mod migrations;
mod pool;
mod serve;
mod settings;
mod tables;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const HEAD: &str = "current 20250507073000, expected 20250507073000";
