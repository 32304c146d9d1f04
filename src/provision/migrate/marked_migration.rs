//! The migrations of a tool whose files contain both ways, as steps and as rows of the ledger.

use std::borrow::Cow;

use super::context::MigrationContext;
use super::expected_ledger::LedgerRow;
use super::marked::{Marked, Way};
use super::step::{LedgerWrite, Reversal, Step};
use super::tool::refuse_duplicates;
use crate::error::{ErrorKind, Result};
use crate::provision::direction::Direction;
use crate::provision::input_file::InputFile;
use crate::provision::inputs::MigrationInputs;
use crate::provision::provision_report::MigrationReport;
use crate::provision::sql_script::Script;

/// A migration whose file contains both ways.
pub(super) struct MarkedMigration<'a> {
    pub(super) version: String,
    description: String,
    pub(super) script: &'a Script,
    way_up: Way,
    file: &'a InputFile,
    tool: &'static MarkedTool,
}

/// How the migrations of a tool are applied and reverted.
pub(super) struct MarkedTool {
    pub(super) marked: &'static Marked,
    /// The version and the description in a file's name.
    pub(super) version: fn(&str) -> Option<(String, &str)>,
    pub(super) ledger: &'static str,
    /// The statements that create the ledger.
    pub(super) create: &'static str,
    /// The statement that writes the entry of a version after the way up.
    pub(super) insert: fn(&str) -> String,
    /// The statement that deletes the entry after the way down.
    pub(super) delete: fn(&str) -> String,
}

impl MarkedTool {
    /// The migrations, in the order in which they are applied.
    ///
    /// # Errors
    /// Two migrations have one version, or a file breaks a rule of the tool.
    pub(super) fn find<'a>(
        &'static self,
        inputs: &'a MigrationInputs,
        scripts: &'a [Script],
    ) -> Result<Vec<MarkedMigration<'a>>> {
        let mut found: Vec<MarkedMigration<'a>> = Vec::with_capacity(scripts.len());
        for (file, script) in inputs.files.iter().zip(scripts) {
            let Some((version, description)) = (self.version)(&file.id) else {
                continue;
            };
            let text = file.text(ErrorKind::MigrationSource)?;
            found.push(MarkedMigration {
                version,
                description: description.replace('_', " ").trim().to_owned(),
                script,
                way_up: self.marked.read(file, &text, Direction::Up)?,
                file,
                tool: self,
            });
        }
        let mut by_version: Vec<&MarkedMigration<'a>> = found.iter().collect();
        by_version.sort_by(|one, other| one.version.cmp(&other.version));
        refuse_duplicates(by_version.iter().map(|it| (&it.version, it.script.name())))?;
        Ok(found)
    }

    /// Applies every migration that is not applied yet.
    pub(super) async fn migrate(
        &'static self,
        context: &mut MigrationContext<'_>,
        inputs: &MigrationInputs,
    ) -> Result<Vec<MigrationReport>> {
        self.create_ledger(context, inputs).await?;
        let migrations = self.find(inputs, context.scripts)?.into_iter();
        let pending = migrations.skip(inputs.part.done);
        let steps: Vec<Step<'_>> = pending.map(MarkedMigration::into_step).collect();
        context.apply_all(&steps).await
    }

    /// All migrations in order, to be applied and reverted one by one. Creates the ledger.
    pub(super) async fn reversals<'a>(
        &'static self,
        context: &mut MigrationContext<'a>,
        inputs: &'a MigrationInputs,
    ) -> Result<Vec<Reversal<'a>>> {
        self.create_ledger(context, inputs).await?;
        let migrations = self.find(inputs, context.scripts)?.into_iter();
        migrations.map(MarkedMigration::into_reversal).collect()
    }

    /// Creates the ledger, unless migrations are applied already: goose's statement also writes its
    /// first row.
    async fn create_ledger(
        &self,
        context: &mut MigrationContext<'_>,
        inputs: &MigrationInputs,
    ) -> Result<()> {
        if inputs.part.done > 0 {
            return Ok(());
        }
        context.run(self.create).await
    }
}

impl<'a> MarkedMigration<'a> {
    /// The step that applies the migration.
    fn into_step(self) -> Step<'a> {
        let sql = (self.tool.insert)(&self.version);
        Step {
            direction: Direction::Up,
            version: self.version,
            description: self.description,
            script: Some(Cow::Borrowed(self.script)),
            messages: self.way_up.messages,
            transaction: self.way_up.transaction,
            ledger_write: LedgerWrite::Statement {
                ledger: self.tool.ledger,
                sql,
            },
        }
    }

    /// The steps that apply and revert the migration. A way down without a statement counts as
    /// none.
    ///
    /// # Errors
    /// The way down breaks a rule of the tool.
    fn into_reversal(self) -> Result<Reversal<'a>> {
        let text = self.file.text(ErrorKind::MigrationSource)?;
        let way = self.tool.marked.read(self.file, &text, Direction::Down)?;
        let down = way.has_statement().then(|| Step {
            direction: Direction::Down,
            version: self.version.clone(),
            description: self.description.clone(),
            script: Some(Cow::Owned(way.script(self.script.name(), &text))),
            messages: way.messages,
            transaction: way.transaction,
            ledger_write: LedgerWrite::Statement {
                ledger: self.tool.ledger,
                sql: (self.tool.delete)(&self.version),
            },
        });
        Ok(Reversal {
            up: self.into_step(),
            down,
        })
    }

    /// The row of the migration, for a ledger without checksums.
    pub(super) fn into_row(self) -> LedgerRow {
        LedgerRow {
            version: self.version,
            checksum: None,
            other_line_endings: None,
        }
    }
}
