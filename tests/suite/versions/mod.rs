//! A database at a version before the last one, and its way to other versions.

mod commands;
mod each_version;
mod failures;
mod layouts;
mod project;
mod roles;
mod several;
mod sqlx_runner;
mod unknown;
