//! Checks that the migrations can be reverted.

use std::sync::Arc;

use super::Harness;
use super::runtime::background;
use super::runtime::task_failed;
use crate::error::Result;
use crate::provision::ReversibleReport;
use crate::template;

impl Harness {
    /// Applies, reverts and re-applies the migrations of sqlx and diesel that have a down migration.
    /// Reports what each down migration left behind or removed by mistake, and which ones the server
    /// refuses.
    ///
    /// The check runs in an empty database of its own and compares the catalogs. A down migration
    /// must restore what was there before, and the second up migration must have the result of the
    /// first. Rows are not compared.
    ///
    /// A migration is reversible when it is a pair of files, `VERSION_description.up.sql` and
    /// `.down.sql`, or a directory with `up.sql` and `down.sql`. ebbtide applies other migrations
    /// without the check.
    ///
    /// # Errors
    /// - [`Migration`](crate::ErrorKind::Migration): the server refuses an up migration. A down
    ///   migration that fails, or the second up migration, is part of the report instead.
    /// - [`Config`](crate::ErrorKind::Config): the plan has no migrations of sqlx or diesel, or none
    ///   has a down migration.
    /// - [`Timeout`](crate::ErrorKind::Timeout): a migration takes longer than the plan's
    ///   `provision.timeout`.
    /// - The server cannot be started, or an extension is not available.
    ///
    /// # Cancel safety
    /// The check continues in the background when the future is dropped, and leaves nothing behind.
    ///
    /// # Examples
    /// ```no_run
    /// #[tokio::test]
    /// async fn migrations_can_be_undone() -> ebbtide::Result<()> {
    ///     let report = ebbtide::Harness::shared()?.check_reversible().await?;
    ///     assert!(report.is_clean(), "{report}");
    ///     Ok(())
    /// }
    /// # fn main() {}
    /// ```
    pub async fn check_reversible(&self) -> Result<ReversibleReport> {
        let cell = Arc::clone(self.template_and_lanes().await?.template.below_fixtures());
        let checking = async move {
            let cell = cell.for_trial("reversible").await?;
            let (server, plan, inputs) = (&cell.server, &cell.plan, cell.inputs.get()?);
            template::check_reversible(server, plan, inputs, &cell.fingerprint).await
        };
        background()?
            .spawn(checking)
            .await
            .unwrap_or_else(task_failed)
    }
}
