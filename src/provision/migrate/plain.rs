//! Plain SQL files, which run as under psql. They have no ledger.

use std::time::Instant;

use super::context::MigrationContext;
use super::tool::{DirectoryTool, Tool};
use crate::config::Layout;
use crate::error::{ErrorKind, Result};
use crate::provision::dir_entries::{is_sql_file, name_of, sql_files};
use crate::provision::inputs::MigrationInputs;
use crate::provision::provision_report::MigrationReport;
use crate::provision::psql::PsqlFile;

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
        version: |file| Some(name_of(&file.path).to_owned()),
        has_down_files: false,
        removes_byte_order_mark: true,
        marked: None,
        list: sql_files,
        migrate: |context, inputs| Box::pin(migrate(context, inputs)),
        ledger: None,
        reversals: None,
    }),
};

/// Applies every file, in the order of the names, each in a session of its own, as psql would.
async fn migrate(
    context: &mut MigrationContext<'_>,
    inputs: &MigrationInputs,
) -> Result<Vec<MigrationReport>> {
    let mut applied = Vec::new();
    let count = inputs.files.len();
    for (number, file) in inputs.files.iter().enumerate().skip(inputs.part.done) {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        let verb = if inputs.is_bootstrap() {
            "bootstrapping"
        } else {
            "migrating"
        };
        let shown = format!("{verb} {} of {count}: {name}", number + 1);
        context.progress.set_step(&shown);
        if number > inputs.part.done {
            context.target.replace_session(context.connection).await?;
        }
        let (began, progress) = (Instant::now(), context.progress);
        let psql_file = PsqlFile {
            file,
            kind: ErrorKind::Migration,
            step: &format!("{} {name}", file.noun),
            migrations: context.all_scripts,
            target: context.target,
            timeout: context.timeout,
            on_megabyte: &|megabytes| progress.set_step(&format!("{shown}, {megabytes} MB")),
        };
        let executed = psql_file.execute(context.connection).await?;
        context.notes.extend(executed.notes);
        context.applied.push(number);
        applied.push(MigrationReport {
            version: Some(name.into_owned()),
            description: String::new(),
            took: began.elapsed(),
        });
    }
    Ok(applied)
}
