//! Runs a check at each version of the migrations.

use std::sync::Arc;

use super::Harness;
use super::runtime::background;
use super::runtime::task_failed;
use crate::error::Result;
use crate::provision::VersionStep;
use crate::template;

impl Harness {
    /// Applies the migrations one by one, and runs `check` before the first and after each. So a
    /// property that must hold at every version is checked in one test, and rows that the check
    /// inserts at one version go through the later migrations.
    ///
    /// The check gets a [`VersionStep`] with the migration that was applied, the next one, and a
    /// pool for its statements, which commit. With `n` migrations it runs `n + 1` times, in one
    /// database: at the start the extensions and the bootstrap exist. Seeds, fixtures and
    /// expectations are not applied. A command or a function is one migration, because ebbtide
    /// cannot stop it in between. With
    /// [`Setup::migrations_up_to`](crate::Setup::migrations_up_to) the last version is that one.
    ///
    /// # Cleanup
    /// The database is dropped at the end, also after an error or a panic of the check.
    ///
    /// # Errors
    /// - [`Other`](crate::ErrorKind::Other): the check returned an error, or panicked. The error
    ///   names the version.
    /// - [`StillInUse`](crate::ErrorKind::StillInUse): a connection of the pool is in use five
    ///   seconds after the check.
    /// - [`Migration`](crate::ErrorKind::Migration), [`LedgerMismatch`](crate::ErrorKind::LedgerMismatch),
    ///   [`Timeout`](crate::ErrorKind::Timeout): a migration failed, perhaps because of the rows.
    /// - The server cannot be started, or an extension is not available.
    ///
    /// # Cancel safety
    /// The work continues in the background when the future is dropped, and leaves nothing behind.
    ///
    /// # Examples
    /// ```no_run
    /// #[tokio::test]
    /// async fn every_table_has_a_primary_key() -> ebbtide::Result<()> {
    ///     let check = |step: ebbtide::VersionStep| async move {
    ///         let without_key: Vec<String> = sqlx::query_scalar(
    ///             "select relname::text from pg_class where relkind = 'r' \
    ///              and relnamespace = 'public'::regnamespace \
    ///              and not exists (select from pg_index where indrelid = pg_class.oid and indisprimary)",
    ///         )
    ///         .fetch_all(&step.pool())
    ///         .await?;
    ///         assert!(without_key.is_empty(), "{:?}: {without_key:?}", step.version());
    ///         Ok::<(), sqlx::Error>(())
    ///     };
    ///     ebbtide::Harness::shared()?.each_version(check).await
    /// }
    /// # fn main() {}
    /// ```
    pub async fn each_version<F, R, E>(&self, mut check: F) -> Result<()>
    where
        F: FnMut(VersionStep) -> R + Send + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let cell = Arc::clone(self.template_and_lanes().await?.template.below_fixtures());
        let checking = async move {
            let cell = cell.for_trial("each version").await?;
            let (server, plan) = (&cell.server, &cell.plan);
            let mut check = move |step| -> futures_util::future::BoxFuture<'static, _> {
                let checked = check(step);
                Box::pin(async move { checked.await.map_err(Into::into) })
            };
            template::each_version(
                server,
                plan,
                cell.inputs.get()?,
                &cell.fingerprint,
                &mut check,
            )
            .await
        };
        background()?
            .spawn(checking)
            .await
            .unwrap_or_else(task_failed)
    }
}
