//! Tries whether the migrations can be undone.

use std::sync::Arc;

use super::Harness;
use super::runtime::background;
use super::template_and_lanes::TemplateCell;
use super::template_and_lanes::ended;
use crate::error::Result;
use crate::provision::ReversibleReport;
use crate::server::{Server, VerifyMode};
use crate::template;

impl Harness {
    /// Takes every migration up, down and up again, in an empty database of its own, and compares the catalogs: a way down
    /// has to lead to what was there before, and the second way up to the same as the first. Rows are not compared.
    ///
    /// Migrations are reversible when they come as a pair of files, `VERSION_description.up.sql` and `.down.sql`. Others
    /// are applied, and nothing is asked of them.
    ///
    /// # Errors
    /// - [`Migration`](crate::ErrorKind::Migration): a way up, or a way down, is refused by the server. Where a way down
    ///   has left something, a second way up that is refused is part of the report.
    /// - [`Config`](crate::ErrorKind::Config): there are no migrations of sqlx.
    /// - [`Timeout`](crate::ErrorKind::Timeout): one takes longer than the plan's `provision.timeout`.
    /// - The server cannot be started, or an extension is not available.
    ///
    /// # Cancel safety
    /// It goes on in the background when the future is dropped, and leaves nothing behind.
    ///
    /// # Examples
    /// ```no_run
    /// #[tokio::test]
    /// async fn migrations_can_be_undone() -> ebbtide::Result<()> {
    ///     let report = ebbtide::harness()?.check_reversible().await?;
    ///     assert!(report.is_clean(), "{report}");
    ///     Ok(())
    /// }
    /// # fn main() {}
    /// ```
    pub async fn check_reversible(&self) -> Result<ReversibleReport> {
        let cell = Arc::clone(self.template_and_lanes().await?.template.below_fixtures());
        let checking = async move {
            let cell = apart(cell).await?;
            template::check_reversible(&cell.server, &cell.plan, &cell.inputs, &cell.fingerprint)
                .await
        };
        background()?.spawn(checking).await.unwrap_or_else(ended)
    }
}

/// Roles that a dedicated server's template needs would be there already, and a way down would drop them.
async fn apart(cell: Arc<TemplateCell>) -> Result<Arc<TemplateCell>> {
    if !cell.sharing.is_dedicated() {
        return Ok(cell);
    }
    let server = Server::start(
        &cell.plan,
        &cell.sharing.for_purpose("reversible"),
        VerifyMode::Answer,
    )
    .await?;
    Ok(Arc::new(cell.on(&Arc::new(server))))
}
