//! Applies the migrations of every source.
//!
//! | file | content |
//! |---|---|
//! | `step` | one file: applies it, writes the ledger, locates the statement that failed |
//! | `message` | the SQL of one message, and where it stands in the file |
//! | `context` | what every source of migrations needs |
//! | `tool`, `tools` | what ebbtide knows about a tool; the list of the tools |
//! | `of_NAME`, `plain` | one tool: its names, its files as steps, its ledger |
//! | `sqlx_ledger` | the rows of sqlx's ledger |
//! | `marked`, `marked_migration`, `goose_file` | files that contain the way up and the way down |
//! | `expected_ledger` | compares a ledger with the files |
//! | `plan_ledgers` | the ledgers of a plan: what its sources require, what a database claims |
//! | `ledger_places` | finds the ledger that holds the rows |
//! | `known_ledgers` | the tables of tools whose files ebbtide does not apply |
//! | `command` | the user's program, such as Alembic |
//! | `user_function` | the user's function |

mod command;
mod context;
mod expected_ledger;
mod goose_file;
mod known_ledgers;
mod ledger_places;
mod marked;
mod marked_migration;
mod message;
mod of_dbmate;
mod of_diesel;
mod of_goose;
mod of_refinery;
mod of_sql_migrate;
mod of_sqlx;
mod plain;
mod plan_ledgers;
mod sqlx_ledger;
mod step;
pub(super) mod tool;
pub(super) mod tools;
mod user_function;

use super::inputs::{MigrationInputs, MigrationSource};
use super::provision_report::MigrationReport;
use crate::config::Plan;
use crate::error::Result;

pub(super) use context::MigrationContext;
pub(super) use plan_ledgers::ledger_claim;
pub(crate) use plan_ledgers::{PlanLedger, plan_ledgers};
pub(super) use step::Reversal;
pub(crate) use tools::ledgers;

/// Applies every migration of a source, in the source's order.
pub(super) async fn migrate(
    context: &mut MigrationContext<'_>,
    plan: &Plan,
    inputs: &MigrationInputs,
) -> Result<Vec<MigrationReport>> {
    match &inputs.source {
        MigrationSource::Command(command) => {
            let command = command.at(inputs.part.revision.as_deref());
            command::migrate(context, plan, &command).await
        }
        MigrationSource::Function(function) => user_function::migrate(context, function).await,
        MigrationSource::Files(..) | MigrationSource::Embedded(_) => match inputs.source.tool() {
            Some(tool) => (tool.migrate)(context, inputs).await,
            None => Ok(Vec::new()),
        },
    }
}
