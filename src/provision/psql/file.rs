//! One file that runs as under psql.

use std::time::Duration;

use crate::error::ErrorKind;
use crate::provision::input_file::InputFile;
use crate::provision::sql_script::Script;
use crate::provision::target::Target;

/// A file that runs as under psql, and what its errors need.
#[derive(Clone, Copy)]
pub(in crate::provision) struct PsqlFile<'a> {
    pub(in crate::provision) file: &'a InputFile,
    /// The kind of its errors.
    pub(in crate::provision) kind: ErrorKind,
    /// What errors call the file: `a seed`, `migration 1_users.sql`.
    pub(in crate::provision) step: &'a str,
    /// The scripts of all migrations, for help that names another one. Empty for seeds.
    pub(in crate::provision) migrations: &'a [Script],
    pub(in crate::provision) target: Target<'a>,
    pub(in crate::provision) timeout: Duration,
    /// Called after each full megabyte that was sent, with their number.
    pub(in crate::provision) on_megabyte: &'a (dyn Fn(u64) + Sync),
}
