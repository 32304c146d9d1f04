//! The migrations of a tool whose files contain both ways, as steps and as rows of the ledger.

use super::expected_ledger::LedgerRow;
use super::marked::{Marked, WayUp};
use super::step::{Direction, LedgerWrite, Step};
use super::tool::refuse_duplicates;
use crate::error::{ErrorKind, Result};
use crate::provision::inputs::MigrationInputs;
use crate::provision::sql_script::Script;

/// A migration whose file contains both ways.
pub(super) struct MarkedMigration<'a> {
    pub(super) version: String,
    pub(super) description: String,
    pub(super) script: &'a Script,
    pub(super) way_up: WayUp,
}

/// The migrations, in the order in which they are applied. `version` returns the version and
/// the description in a file's name.
///
/// # Errors
/// Two migrations have one version, or a file breaks a rule of the tool.
pub(super) fn find<'a>(
    marked: &Marked,
    inputs: &MigrationInputs,
    scripts: &'a [Script],
    version: fn(&str) -> Option<(String, &str)>,
) -> Result<Vec<MarkedMigration<'a>>> {
    let mut found: Vec<MarkedMigration<'a>> = Vec::with_capacity(scripts.len());
    for (file, script) in inputs.files.iter().zip(scripts) {
        let Some((version, description)) = version(&file.id) else {
            continue;
        };
        let text = file.text(ErrorKind::MigrationSource)?;
        found.push(MarkedMigration {
            version,
            description: description.replace('_', " ").trim().to_owned(),
            script,
            way_up: marked.read(file, &text)?,
        });
    }
    let mut by_version: Vec<&MarkedMigration<'a>> = found.iter().collect();
    by_version.sort_by(|one, other| one.version.cmp(&other.version));
    refuse_duplicates(by_version.iter().map(|it| (&it.version, it.script.name())))?;
    Ok(found)
}

impl<'a> MarkedMigration<'a> {
    /// The step that applies the migration and runs `sql` as its entry in the ledger.
    pub(super) fn into_step(self, ledger: &'static str, sql: String) -> Step<'a> {
        Step {
            direction: Direction::Up,
            version: self.version,
            description: self.description,
            script: Some(self.script),
            messages: self.way_up.messages,
            transaction: self.way_up.transaction,
            ledger_write: LedgerWrite::Statement { ledger, sql },
        }
    }

    /// The row of the migration, for a ledger without checksums.
    pub(super) fn into_row(self) -> LedgerRow {
        LedgerRow {
            version: self.version,
            checksum: None,
        }
    }
}
