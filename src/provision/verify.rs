//! The ledger is a claim; this checks it.

use std::collections::BTreeSet;

use sqlx::migrate::Migrate as _;
use sqlx::postgres::PgConnection;

use super::claims;
use super::inputs::Inputs;
use super::migrate::{self, LEDGER};
use super::script::Script;
use crate::catalog;
use crate::error::{Error, ErrorKind, Result};
use crate::names::hex;
use crate::sql_error;

/// Tables in which migration tools write what they did.
const LEDGERS: [&str; 5] =
    [LEDGER, "alembic_version", "__diesel_schema_migrations", "refinery_schema_history", "flyway_schema_history"];

/// Whether a table, displayed as [`RelationName`](catalog::RelationName) does, is a migration tool's own.
pub(super) fn is_ledger(table: &str) -> bool {
    LEDGERS.contains(&table.rsplit('.').next().unwrap_or(table))
}

/// Compares the ledger with the files, and the files with the catalog.
pub(super) async fn verify(connection: &mut PgConnection, inputs: &Inputs, scripts: &[Script]) -> Result<()> {
    if inputs.migrations_folder.is_none() {
        return Ok(());
    }
    // A migration may have moved the search path of this very session.
    sqlx::raw_sql("reset all")
        .execute(&mut *connection)
        .await
        .map_err(|error| sql_error::failed("resetting the session", error))?;
    let head = ledger_against_files(connection, inputs).await?;
    let tables = catalog::tables(connection).await.map_err(|error| sql_error::failed("reading the tables", error))?;
    let users: BTreeSet<String> = tables.iter().map(ToString::to_string).filter(|table| !is_ledger(table)).collect();
    if users.is_empty() {
        return Err(Error::new(
            ErrorKind::NothingMigrated,
            format!("the ledger says that {head} is applied, but the database has no table"),
        )
        .with_help(
            "a migration that ends its own transaction (COMMIT, ROLLBACK), or creates its tables in another database or a \
             temporary schema, looks like this; with nothing to migrate, set `migrations = false`",
        ));
    }
    claims_against_catalog(&users, scripts, &head)
}

/// The latest version, once every version of the files is in the ledger with its checksum, and no other.
async fn ledger_against_files(connection: &mut PgConnection, inputs: &Inputs) -> Result<String> {
    // Read again on purpose: a file that changed while the migrations ran differs from what the ledger says.
    let migrator = migrate::resolve(inputs).await?;
    let applied = connection.list_applied_migrations(LEDGER).await.map_err(|error| {
        Error::new(ErrorKind::LedgerMismatch, format!("the migration ledger {LEDGER} cannot be read"))
            .with_source(error)
            .with_help("a migration has dropped or changed it; that table belongs to sqlx")
    })?;
    let mut differences = Vec::new();
    let files: Vec<_> = migrator.iter().filter(|migration| !migration.migration_type.is_down_migration()).collect();
    for file in &files {
        match applied.iter().find(|row| row.version == file.version) {
            None => differences.push(format!("{} ({}) is not in the ledger", file.version, file.description)),
            Some(row) if row.checksum != file.checksum => differences.push(format!(
                "{} ({}) has another checksum in the ledger: {} instead of {}",
                file.version,
                file.description,
                &hex(&row.checksum)[..12.min(row.checksum.len() * 2)],
                &hex(&file.checksum)[..12]
            )),
            Some(_) => {}
        }
    }
    for row in &applied {
        if !files.iter().any(|file| file.version == row.version) {
            differences.push(format!("{} is in the ledger, and there is no such file", row.version));
        }
    }
    if differences.is_empty() {
        return Ok(files.last().map(|file| file.version.to_string()).unwrap_or_default());
    }
    Err(Error::new(ErrorKind::LedgerMismatch, "the migration ledger does not agree with the migration files")
        .with_evidence("differences", differences.join("\n"))
        .with_help(
            "a migration writes to the ledger, or a file changed while it was applied; let sqlx alone write there",
        ))
}

/// Every table that a migration creates, and none drops or renames, must be there.
fn claims_against_catalog(tables: &BTreeSet<String>, scripts: &[Script], head: &str) -> Result<()> {
    let ups = scripts.iter().filter(|script| !script.name().ends_with(".down.sql"));
    let missing: Vec<String> = claims::claimed_tables(ups)
        .into_iter()
        .filter(|(table, claim)| !is_there(tables, table, claim.any_schema))
        .map(|(table, claim)| format!("{table} (created at {}:{})", claim.script, claim.line))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::LedgerMismatch,
        format!(
            "the ledger says that {head} is applied, but {} {} missing",
            missing.iter().map(|text| text.split(' ').next().unwrap_or(text)).collect::<Vec<_>>().join(", "),
            if missing.len() == 1 { "is" } else { "are" }
        ),
    )
    .with_evidence("missing tables", missing.join("\n"))
    .with_help(
        "look for a COMMIT, ROLLBACK or SET search_path inside these migrations, and for a DROP in SQL that a later one \
         puts together: what they created was undone or went elsewhere",
    ))
}

fn is_there(tables: &BTreeSet<String>, claimed: &str, any_schema: bool) -> bool {
    let claimed = claimed.strip_prefix("public.").unwrap_or(claimed);
    tables.contains(claimed)
        || (any_schema && tables.iter().any(|table| table.rsplit_once('.').is_some_and(|(_, name)| name == claimed)))
}
