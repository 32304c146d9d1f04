//! Migrations that do not come from a directory of sqlx's: a program such as Alembic, other tools' directories, plain SQL, a
//! function of the test's own.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[macro_use]
#[path = "../support/reports.rs"]
mod reports;
#[path = "../support/mod.rs"]
mod support;

mod alembic;
mod commands;
mod directories;
mod environment;
mod project;
