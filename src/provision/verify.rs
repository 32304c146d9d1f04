//! The ledger is a claim; this checks it.

use std::collections::BTreeSet;

use sqlx::migrate::{Migrate as _, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::claims;
use super::inputs::{Inputs, MigrationSource};
use super::migrate;
use super::script::Script;
use crate::catalog::{self, LedgerClaim, SQLX_LEDGER, is_ledger};
use crate::error::{Error, ErrorKind, Result};
use crate::names::hex;
use crate::sql_error;

/// Compares the ledger with the files, and the files with the catalog.
pub(super) async fn verify(
    connection: &mut PgConnection,
    inputs: &Inputs,
    scripts: &[Script],
) -> Result<()> {
    // Read again on purpose: a file that changed while the migrations ran differs from what the ledger says.
    let migrator = migrate::resolve(inputs).await?;
    if matches!(inputs.source, MigrationSource::None) {
        return Ok(());
    }
    // A migration may have moved the search path of this very session.
    sqlx::raw_sql("reset all")
        .execute(&mut *connection)
        .await
        .map_err(|error| sql_error::failed("resetting the session", error))?;
    let said = match (migrator, migrate::ledger(inputs, scripts)?) {
        (Some(migrator), _) => says(
            SQLX_LEDGER,
            &ledger_against_files(connection, &migrator).await?,
        ),
        (None, Some(ledger)) => says(
            ledger.table,
            &tool_against_files(connection, &ledger).await?,
        ),
        (None, None) => claimed(connection).await?,
    };
    let tables = catalog::tables(connection)
        .await
        .map_err(|error| sql_error::failed("reading the tables", error))?;
    let tables: BTreeSet<String> = tables.iter().map(ToString::to_string).collect();
    if tables.iter().all(|table| is_ledger(table)) {
        return Err(Error::new(
            ErrorKind::NothingMigrated,
            format!("{said}, but the database has no table"),
        )
        .with_help(match &inputs.source {
            MigrationSource::Command(said) => format!(
                "did the command go to another database, or write its ledger only (`alembic stamp`)? It must use the URL \
                 in {}, or PGHOST, PGDATABASE and their like, and commit",
                said.url_variable
            ),
            MigrationSource::Function(_) => "the function must use the URL that it is called with, and commit".to_owned(),
            _ => "a migration that ends its own transaction (COMMIT, ROLLBACK), or creates its tables in another database or a \
             temporary schema, looks like this; with nothing to migrate, set `migrations = false`"
                .to_owned(),
        }));
    }
    // With the ledgers: a migration may have taken another tool's over.
    claims_against_catalog(&tables, scripts, &said)
}

/// What a ledger stands for.
fn says(ledger: &str, head: &str) -> String {
    match ledger {
        SQLX_LEDGER => format!("the ledger says that {head} is applied"),
        other => format!("the ledger {other} says that {head} is applied"),
    }
}

/// What a source says whose migrations we do not know.
async fn claimed(connection: &mut PgConnection) -> Result<String> {
    let claim = LedgerClaim::read(connection).await;
    let claim = claim.map_err(|error| sql_error::failed("reading the migration ledger", error))?;
    Ok(match claim {
        Some(LedgerClaim {
            table,
            latest: Some(latest),
            ..
        }) => says(&table, &latest),
        Some(claim) => format!("the migrations ran, and {claim}"),
        None => "the migrations ran".to_owned(),
    })
}

/// The same for another tool's ledger, which we have written as the tool does.
async fn tool_against_files(
    connection: &mut PgConnection,
    ledger: &migrate::Ledger,
) -> Result<String> {
    let table = ledger.table;
    let rows = sqlx::raw_sql(ledger.select)
        .fetch_all(connection)
        .await
        .and_then(|rows| {
            rows.iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .collect::<Result<Vec<_>, sqlx::Error>>()
        });
    let rows: Vec<(String, Option<String>)> = rows.map_err(|error| {
        Error::new(
            ErrorKind::LedgerMismatch,
            format!("the migration ledger {table} cannot be read"),
        )
        .with_source(error)
        .with_help(
            "a migration has dropped or changed it; that table belongs to the migration tool",
        )
    })?;
    let mut differences = Vec::new();
    for file in &ledger.rows {
        match rows.iter().find(|(version, _)| *version == file.version) {
            None => differences.push(format!("{} is not in the ledger", file.version)),
            Some((_, found)) if *found != file.checksum => {
                differences.push(format!(
                    "{} has another checksum in the ledger",
                    file.version
                ));
            }
            Some(_) => {}
        }
    }
    let unknown = rows
        .iter()
        .filter(|(version, _)| !ledger.rows.iter().any(|file| file.version == *version));
    differences.extend(
        unknown.map(|(version, _)| {
            format!("{version} is in the ledger, and there is no such migration")
        }),
    );
    if differences.is_empty() {
        return Ok(ledger
            .rows
            .last()
            .map(|file| file.version.clone())
            .unwrap_or_default());
    }
    Err(Error::new(
        ErrorKind::LedgerMismatch,
        format!("the migration ledger {table} does not agree with the files"),
    )
    .with_evidence("differences", differences.join("\n"))
    .with_help("a migration writes to the ledger; let the migration tool alone write there"))
}

/// The latest version, once every version of the files is in the ledger with its checksum, and no other.
async fn ledger_against_files(
    connection: &mut PgConnection,
    migrator: &Migrator,
) -> Result<String> {
    let applied = connection
        .list_applied_migrations(SQLX_LEDGER)
        .await
        .map_err(|error| {
            Error::new(
                ErrorKind::LedgerMismatch,
                format!("the migration ledger {SQLX_LEDGER} cannot be read"),
            )
            .with_source(error)
            .with_help("a migration has dropped or changed it; that table belongs to sqlx")
        })?;
    let dirty = sqlx::query_scalar::<_, i64>(AssertSqlSafe(format!(
        "select version from {SQLX_LEDGER} where not success"
    )))
    .fetch_all(&mut *connection)
    .await
    .map_err(|error| sql_error::failed("reading the ledger", error))?;
    let mut differences: Vec<String> = dirty
        .iter()
        .map(|version| {
            format!("{version} is dirty: it was begun, and is not said to have succeeded")
        })
        .collect();
    let files: Vec<_> = migrator
        .iter()
        .filter(|migration| !migration.migration_type.is_down_migration())
        .collect();
    for file in &files {
        match applied.iter().find(|row| row.version == file.version) {
            None => differences.push(format!(
                "{} ({}) is not in the ledger",
                file.version, file.description
            )),
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
            differences.push(format!(
                "{} is in the ledger, and there is no such file",
                row.version
            ));
        }
    }
    if differences.is_empty() {
        return Ok(files
            .last()
            .map(|file| file.version.to_string())
            .unwrap_or_default());
    }
    Err(Error::new(ErrorKind::LedgerMismatch, "the migration ledger does not agree with the migration files")
        .with_evidence("differences", differences.join("\n"))
        .with_help(
            "a migration writes to the ledger, or a file changed while it was applied; let sqlx alone write there",
        ))
}

/// Every table that a migration creates, and none drops or renames, must be there.
fn claims_against_catalog(tables: &BTreeSet<String>, scripts: &[Script], said: &str) -> Result<()> {
    let ups = scripts
        .iter()
        .filter(|script| !script.name().ends_with(".down.sql"));
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
            "{said}, but {} {} missing",
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
        || (any_schema
            && tables.iter().any(|table| {
                table
                    .rsplit_once('.')
                    .is_some_and(|(_, name)| name == claimed)
            }))
}
