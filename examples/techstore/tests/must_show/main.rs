//! The acceptance criteria of the shop's foundation, one module for each.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

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
