//! Checks that the ledger is true: a ledger can list a migration whose tables do not exist.
//!
//! It compares the ledger with the files, and the files with the catalog. A migration may write to
//! the ledger, end its transaction, or create its tables elsewhere. None of these is an error for
//! the server.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;

use super::claims;
use super::inputs::{Inputs, MigrationSource};
use super::migrate::ledgers;
use super::migrate::tools::{is_ledger, recorded_as_applied};
use super::scripts::Scripts;
use super::sql_script::Script;
use crate::catalog::{self, LedgerClaim};
use crate::error::{Error, ErrorKind, Result};
use crate::sql_error;

/// Compares the ledgers with the files, and the files with the catalog. `before` are the tables
/// that existed before the first migration.
///
/// # Errors
/// - `LedgerMismatch`: a ledger differs from its files, or a table that a file creates is missing.
/// - `NothingMigrated`: there are migrations, and they have created no table.
pub(super) async fn verify(
    connection: &mut PgConnection,
    inputs: &Inputs,
    scripts: &Scripts,
    before: &BTreeSet<String>,
) -> Result<()> {
    if inputs.sources().next().is_none() {
        return Ok(());
    }
    // A migration may have changed the settings of the session that ran it, such as the search
    // path. This function does not rely on a new session.
    sqlx::raw_sql("reset all")
        .execute(&mut *connection)
        .await
        .map_err(|error| sql_error::failed("resetting the session", error))?;
    let mut ledger_states = Vec::new();
    for (source, scripts) in scripts
        .by_source(inputs)
        .filter(|(it, _)| !it.is_bootstrap())
    {
        ledger_states.push(match source.source.tool().and_then(|tool| tool.verify) {
            Some(verify) => verify(connection, source, scripts).await?,
            None => unverified_ledger_state(connection).await?,
        });
    }
    ledger_states.dedup();
    let ledger_state = if ledger_states.is_empty() {
        "the bootstrap ran".to_owned()
    } else {
        ledger_states.join(", ")
    };
    let tables = table_names(connection).await?;
    let is_new = |table: &&String| !is_ledger(table) && !before.contains(*table);
    if let Some(last) = inputs.migrations.last()
        && !tables.iter().any(|table| is_new(&table))
    {
        let problem = if before.is_empty() {
            "but the database has no table"
        } else {
            "but the database has only the tables of the bootstrap"
        };
        return Err(Error::new(
            ErrorKind::NothingMigrated,
            format!("{ledger_state}, {problem}"),
        )
        .with_help(match &last.source {
            MigrationSource::Command(command) => format!(
                "the command must connect with the URL in {}, or with PGHOST, PGDATABASE and the \
                 other PG* variables, and commit; check that it does not use another database, or \
                 write only its ledger (`alembic stamp`)",
                command.url_variable
            ),
            MigrationSource::Function(_) => {
                "the function must connect with the URL that it is called with, and commit"
                    .to_owned()
            }
            _ => "look for a migration that ends its own transaction (COMMIT, ROLLBACK), or \
                 creates its tables in another database or a temporary schema; if there is nothing \
                 to migrate, set `migrations = false`"
                .to_owned(),
        }));
    }
    // The ledgers stay in the list of tables: a migration may create another tool's ledger itself.
    claims_against_catalog(&tables, scripts.all(), &ledger_state)
}

/// The names of all tables, written like the `Display` of
/// [`RelationName`](crate::catalog::RelationName).
pub(super) async fn table_names(connection: &mut PgConnection) -> Result<BTreeSet<String>> {
    let tables = catalog::tables(connection)
        .await
        .map_err(|error| sql_error::failed("reading the tables", error))?;
    Ok(tables.iter().map(ToString::to_string).collect())
}

/// The first part of an error, for a source whose ledger is not compared. Plain SQL has no ledger,
/// and the migrations of a command or a function are unknown.
async fn unverified_ledger_state(connection: &mut PgConnection) -> Result<String> {
    let claim = LedgerClaim::read(connection, &ledgers()).await;
    let claim = claim.map_err(|error| sql_error::failed("reading the migration ledger", error))?;
    Ok(match claim {
        Some(LedgerClaim {
            table,
            latest: Some(latest),
            ..
        }) => recorded_as_applied(&table, &latest),
        Some(claim) => format!("the migrations ran, and {claim}"),
        None => "the migrations ran".to_owned(),
    })
}

/// Checks that every table exists that a migration creates and no later one drops or renames.
fn claims_against_catalog(
    tables: &BTreeSet<String>,
    scripts: &[Script],
    ledger_state: &str,
) -> Result<()> {
    let ups = scripts.iter().filter(|script| {
        !script.name().ends_with(".down.sql") && !script.name().ends_with("/down.sql")
    });
    let missing: Vec<String> = claims::claimed_tables(ups)
        .into_iter()
        .filter(|(table, claim)| !exists(tables, table, claim.any_schema))
        .map(|(table, claim)| format!("{table} (created at {}:{})", claim.script, claim.line))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::LedgerMismatch,
        format!(
            "{ledger_state}, but {} {} missing",
            missing
                .iter()
                .map(|text| text.split(' ').next().unwrap_or(text))
                .collect::<Vec<_>>()
                .join(", "),
            if missing.len() == 1 { "is" } else { "are" }
        ),
    )
    .with_evidence("missing tables", missing.join("\n"))
    .with_help(
        "look for a COMMIT, ROLLBACK or SET search_path in these migrations, and for a DROP in SQL \
         that a later one builds at run time: the tables were removed, or created elsewhere",
    ))
}

/// Whether a claimed table exists; with `any_schema`, in any schema.
fn exists(tables: &BTreeSet<String>, claimed: &str, any_schema: bool) -> bool {
    let claimed = claimed.strip_prefix("public.").unwrap_or(claimed);
    tables.contains(claimed)
        || (any_schema
            && tables.iter().any(|table| {
                table
                    .rsplit_once('.')
                    .is_some_and(|(_, name)| name == claimed)
            }))
}
