//! What every source of migrations needs.

use std::time::Duration;

use sqlx::postgres::PgConnection;

use crate::error::Result;
use crate::progress::Progress;
use crate::provision::own_statement;
use crate::provision::sql_script::Script;
use crate::provision::target::Target;

/// What every source of migrations needs. That is the session, the database, the SQL if it is
/// known, the timeout of each migration, and the progress report.
#[derive(Debug)]
pub(in crate::provision) struct MigrationContext<'a> {
    pub(in crate::provision) connection: &'a mut PgConnection,
    pub(in crate::provision) target: Target<'a>,
    /// The SQL of this source.
    pub(in crate::provision) scripts: &'a [Script],
    /// The SQL of all sources, for help that names another file.
    pub(in crate::provision) all_scripts: &'a [Script],
    /// The indices of the applied scripts, in the order in which they ran.
    pub(in crate::provision) applied: Vec<usize>,
    /// `provision.timeout`, for each migration.
    pub(in crate::provision) timeout: Duration,
    pub(in crate::provision) progress: &'a Progress,
    /// What was skipped and why, one line each.
    pub(in crate::provision) notes: &'a mut Vec<String>,
}

impl MigrationContext<'_> {
    /// Runs one of ebbtide's own statements.
    pub(in crate::provision) async fn run(&mut self, statement: &'static str) -> Result<()> {
        own_statement::run(self.connection, statement).await
    }
}
