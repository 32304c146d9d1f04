//! Migrations that do not come from a folder of sqlx's: a program such as Alembic, other tools' folders, plain SQL, a
//! function of the test's own.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[macro_use]
#[path = "../support/reports.rs"]
mod reports;
#[path = "../support/mod.rs"]
mod support;

mod alembic;
mod commands;
mod environment;
mod folders;
mod project;
