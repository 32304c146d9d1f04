//! Plain SQL files. They have no ledger.

use std::borrow::Cow;

use super::context::MigrationContext;
use super::step::{Direction, LedgerWrite, Step, Transaction};
use super::tool::{DirectoryTool, Tool};
use crate::config::Layout;
use crate::error::Result;
use crate::provision::dir_entries::{is_sql_file, sql_files};
use crate::provision::provision_report::MigrationReport;

pub(super) static TOOL: Tool = Tool {
    ledger: None,
    ledger_label: None,
    directory: Some(DirectoryTool {
        layout: Layout::Sql,
        label: "plain SQL",
        naming: "every file whose name ends in .sql is a migration",
        naming_clause: "any other file that ends in .sql is plain SQL",
        fingerprint_part: Some("layout sql"),
        is_migration: is_sql_file,
        list: sql_files,
        migrate: |context, _| Box::pin(migrate(context)),
        verify: None,
        latest: None,
        reversals: None,
    }),
};

/// A file that begins with this comment runs outside of a transaction, as in sqlx.
const NO_TRANSACTION_PREFIX: &str = "-- no-transaction";

/// Applies every file, in the order of the names.
async fn migrate(context: &mut MigrationContext<'_>) -> Result<Vec<MigrationReport>> {
    let scripts = context.scripts;
    let steps: Vec<Step<'_>> = scripts
        .iter()
        .map(|script| Step {
            direction: Direction::Up,
            version: script
                .name()
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned(),
            description: String::new(),
            script: Some(script),
            text: Cow::Borrowed(script.text()),
            transaction: if script.text().starts_with(NO_TRANSACTION_PREFIX) {
                Transaction::None
            } else {
                Transaction::Own
            },
            ledger_write: LedgerWrite::Nothing,
        })
        .collect();
    context.apply_all(&steps).await
}
