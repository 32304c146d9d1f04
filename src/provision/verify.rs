//! Checks that the ledger is true: a ledger can list a migration whose tables do not exist.
//!
//! It compares the ledger with the files, and the files with the catalog. A migration may write to
//! the ledger, end its transaction, or create its tables elsewhere. None of these is an error for
//! the server.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;

use super::claims::{self, Claim, DefaultSchema};
use super::inputs::{Inputs, MigrationInputs, MigrationSource};
use super::migrate::ledger_claim;
use super::migrate::tools::{recorded_as_applied, tool_tables};
use super::scripts::Scripts;
use super::sql_script::Script;
use crate::catalog::{self, LedgerClaim};
use crate::config::Plan;
use crate::error::{Error, ErrorKind, Result};
use crate::sql_error;

/// What the migrations are, and what they did.
pub(super) struct Migrated<'a> {
    pub(super) scripts: &'a Scripts,
    /// The scripts that were applied, in the order in which they ran.
    pub(super) applied: &'a [&'a Script],
    /// The tables that existed before the first migration.
    pub(super) tables_before: &'a BTreeSet<String>,
}

/// Compares the ledgers with the files, and the applied files with the catalog.
///
/// # Errors
/// - `LedgerMismatch`: a ledger differs from its files, or a table that a file creates is missing.
/// - `NothingMigrated`: there are migrations, and they have created no table.
pub(super) async fn verify(
    connection: &mut PgConnection,
    plan: &Plan,
    inputs: &Inputs,
    migrated: Migrated<'_>,
) -> Result<()> {
    if inputs.sources().next().is_none() {
        return Ok(());
    }
    reset_all(connection).await?;
    let mut ledger_states = Vec::new();
    for (source, scripts) in migrated
        .scripts
        .by_source(inputs)
        .filter(|(it, _)| !it.is_bootstrap())
    {
        ledger_states.push(match source.source.tool().and_then(|tool| tool.ledger) {
            Some(ledger) => ledger(source, scripts).await?.verify(connection).await?,
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
    let ledgers = catalog::ledger_names(connection, &tool_tables())
        .await
        .map_err(|error| sql_error::failed("reading the tables", error))?;
    let before = migrated.tables_before;
    let is_new = |table: &String| !ledgers.contains(table) && !before.contains(table);
    if let Some(last) = inputs.migrations.last()
        && !tables.iter().any(is_new)
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
    refuse_missing_tables(connection, plan, migrated.applied, &ledger_state).await
}

/// Compares the ledger of one source with its files, and the files that were applied last with the
/// catalog.
///
/// # Errors
/// `LedgerMismatch`, as for [`verify`].
pub(super) async fn verify_source(
    connection: &mut PgConnection,
    plan: &Plan,
    source: &MigrationInputs,
    applied: &[&Script],
) -> Result<()> {
    reset_all(connection).await?;
    let ledger_state = match source.source.tool().and_then(|tool| tool.ledger) {
        Some(ledger) => {
            let expected = ledger(source, &source.scripts()?).await?;
            expected.verify(connection).await?
        }
        None => unverified_ledger_state(connection).await?,
    };
    refuse_missing_tables(connection, plan, applied, &ledger_state).await
}

/// A migration may have changed the settings of the session that ran it, such as the search path.
/// The verification does not rely on a new session.
async fn reset_all(connection: &mut PgConnection) -> Result<()> {
    sqlx::raw_sql("reset all")
        .execute(connection)
        .await
        .map(drop)
        .map_err(|error| sql_error::failed("resetting the session", error))
}

/// Compares the applied files with the catalog.
async fn refuse_missing_tables(
    connection: &mut PgConnection,
    plan: &Plan,
    applied: &[&Script],
    ledger_state: &str,
) -> Result<()> {
    let missing = missing_tables(connection, applied).await?;
    let missing: Vec<(String, Claim)> = missing
        .into_iter()
        .filter(|(table, _)| !plan.ignore_missing_tables.contain(table))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(mismatch(&missing, ledger_state))
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
    Ok(match ledger_claim(connection).await? {
        Some(LedgerClaim {
            table,
            latest: Some(latest),
            ..
        }) => recorded_as_applied(&table, &latest),
        Some(claim) => format!("the migrations ran, and {claim}"),
        None => "the migrations ran".to_owned(),
    })
}

/// The tables that a migration creates and no later one drops or renames, and that do not exist.
///
/// A view or a table of an extension counts as existing: `CREATE TABLE IF NOT EXISTS` creates
/// nothing beside it (<https://www.postgresql.org/docs/current/sql-createtable.html>).
async fn missing_tables(
    connection: &mut PgConnection,
    applied: &[&Script],
) -> Result<Vec<(String, Claim)>> {
    let reading = |error| sql_error::failed("reading the tables", error);
    let relations = catalog::names_of_relations(connection)
        .await
        .map_err(reading)?;
    let relations: BTreeSet<String> = relations.iter().map(ToString::to_string).collect();
    let schema: Option<String> = sqlx::query_scalar("select current_schema()::text")
        .fetch_one(connection)
        .await
        .map_err(reading)?;
    let default_schema = if schema.as_deref() == Some("public") {
        DefaultSchema::Public
    } else {
        DefaultSchema::Other
    };
    let claims = claims::claimed_tables(applied.iter().copied(), default_schema);
    Ok(claims
        .into_iter()
        .filter(|(table, claim)| !exists(&relations, table, claim.any_schema))
        .collect())
}

fn mismatch(missing: &[(String, Claim)], ledger_state: &str) -> Error {
    let names: Vec<&str> = missing.iter().map(|(table, _)| table.as_str()).collect();
    let places: Vec<String> = missing
        .iter()
        .map(|(table, claim)| format!("{table} (created at {}:{})", claim.script, claim.line))
        .collect();
    Error::new(
        ErrorKind::LedgerMismatch,
        format!(
            "{ledger_state}, but {} {} missing",
            names.join(", "),
            if missing.len() == 1 { "is" } else { "are" }
        ),
    )
    .with_evidence("missing tables", places.join("\n"))
    .with_help(format!(
        "look for a COMMIT, ROLLBACK or SET search_path in these migrations: the tables were \
         removed, or created elsewhere; if they may be missing, set \
         provision.ignore_missing_tables = {names:?}"
    ))
}

/// Whether a claimed table exists; with `any_schema`, in any schema.
fn exists(relations: &BTreeSet<String>, claimed: &str, any_schema: bool) -> bool {
    let claimed = claimed.strip_prefix("public.").unwrap_or(claimed);
    relations.contains(claimed)
        || (any_schema
            && relations.iter().any(|relation| {
                relation
                    .rsplit_once('.')
                    .is_some_and(|(_, name)| name == claimed)
            }))
}
