//! Applies migrations, wherever they come from.
//!
//! | file | noun |
//! |---|---|
//! | `step` | one file: applied, written down, and its statement found when it fails |
//! | `of_sqlx`, `of_refinery`, `of_diesel`, `plain` | the files of one layout as steps, with the tool's ledger |
//! | `command` | a program of the user's |
//! | `function` | a function of the test's own |

mod command;
mod function;
mod of_diesel;
mod of_refinery;
mod of_sqlx;
mod plain;
mod step;

use std::time::Duration;

use sqlx::postgres::PgConnection;

use super::inputs::{Inputs, MigrationSource};
use super::report::MigrationReport;
use super::script::Script;
use super::target::Target;
use crate::config::{Layout, Plan};
use crate::error::Result;
use crate::progress::Progress;
use crate::sql_error;

pub(crate) use of_sqlx::head;
pub(super) use of_sqlx::{resolve, reversals};

/// Where migrations are applied, and what is known of them.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) connection: &'a mut PgConnection,
    pub(super) target: Target<'a>,
    pub(super) scripts: &'a [Script],
    pub(super) limit: Duration,
    pub(super) progress: &'a Progress,
}

/// What a tool's ledger holds, once the files were applied.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) table: &'static str,
    /// Selects version and checksum as text; without checksums, null.
    pub(super) select: &'static str,
    /// In the order of the files.
    pub(super) rows: Vec<Written>,
}

/// One row of a ledger.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) version: String,
    pub(super) checksum: Option<String>,
}

/// Applies every migration, in the order of its source.
pub(super) async fn migrate(
    mut site: Site<'_>,
    plan: &Plan,
    inputs: &Inputs,
) -> Result<Vec<MigrationReport>> {
    match &inputs.source {
        MigrationSource::None => Ok(Vec::new()),
        MigrationSource::Embedded(_) | MigrationSource::Files(Layout::Sqlx, _) => {
            of_sqlx::migrate(&mut site, inputs).await
        }
        MigrationSource::Files(Layout::Sql, _) => plain::migrate(&mut site).await,
        MigrationSource::Files(Layout::Refinery, _) => {
            of_refinery::migrate(&mut site, inputs).await
        }
        MigrationSource::Files(Layout::Diesel, _) => of_diesel::migrate(&mut site, inputs).await,
        MigrationSource::Command(said) => command::migrate(&mut site, plan, said).await,
        MigrationSource::Function(function) => function::migrate(&mut site, function).await,
    }
}

/// What the ledger of refinery or diesel must hold; none for other sources.
pub(super) fn ledger(inputs: &Inputs, scripts: &[Script]) -> Result<Option<Ledger>> {
    match &inputs.source {
        MigrationSource::Files(Layout::Refinery, _) => {
            of_refinery::ledger(inputs, scripts).map(Some)
        }
        MigrationSource::Files(Layout::Diesel, _) => of_diesel::ledger(inputs, scripts).map(Some),
        MigrationSource::None
        | MigrationSource::Embedded(_)
        | MigrationSource::Files(Layout::Sqlx | Layout::Sql, _)
        | MigrationSource::Command(_)
        | MigrationSource::Function(_) => Ok(None),
    }
}

impl Site<'_> {
    /// Runs a statement of ours.
    async fn run(&mut self, statement: &'static str) -> Result<()> {
        let run = sqlx::raw_sql(statement)
            .execute(&mut *self.connection)
            .await;
        run.map(drop)
            .map_err(|error| sql_error::failed(statement, error))
    }
}
