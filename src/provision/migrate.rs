//! Applies sqlx migrations one by one, and finds the statement when one fails.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::migrate::{Migrate as _, MigrateError, Migration, Migrator};
use sqlx::postgres::PgConnection;

use super::failure::{self, Refusal};
use super::inputs::{self, Inputs};
use super::report::MigrationReport;
use super::script::Script;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::sql_error;

/// sqlx's own ledger (<https://docs.rs/sqlx/latest/sqlx/migrate/>).
pub(super) const LEDGER: &str = "_sqlx_migrations";

/// Applies every migration in the order of the versions.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    inputs: &Inputs,
    scripts: &[Script],
    limit: Duration,
    progress: &Progress,
) -> Result<Vec<MigrationReport>> {
    let Some(folder) = &inputs.migrations_folder else { return Ok(Vec::new()) };
    let migrator = resolve(inputs).await?;
    let ups: Vec<&Migration> =
        migrator.iter().filter(|migration| !migration.migration_type.is_down_migration()).collect();
    if ups.is_empty() {
        return Err(inputs::no_migration(folder));
    }
    connection.ensure_migrations_table(LEDGER).await.map_err(|error| ledger_refused(&error))?;
    let mut applied = Vec::new();
    for (number, migration) in ups.iter().enumerate() {
        progress.say(&format!("migrating {} of {}: {}", number + 1, ups.len(), migration.description));
        let run = tokio::time::timeout(limit, connection.apply(LEDGER, migration)).await;
        let Ok(result) = run else { return Err(too_slow(migration, limit, scripts)) };
        match result {
            Ok(took) => applied.push(MigrationReport {
                version: migration.version,
                description: migration.description.to_string(),
                milliseconds: took.as_secs_f64() * 1e3,
            }),
            Err(MigrateError::ExecuteMigration(error, _)) => {
                return Err(refused(connection, migration, scripts, error).await);
            }
            Err(error) => return Err(ledger_refused(&error)),
        }
    }
    Ok(applied)
}

pub(super) async fn resolve(inputs: &Inputs) -> Result<Migrator> {
    refuse_duplicates(inputs)?;
    let folder = inputs.migrations_folder.clone().unwrap_or_default();
    Migrator::new(folder.as_path()).await.map_err(|error| {
        Error::new(ErrorKind::MigrationSource, format!("the migrations in {} cannot be read", folder.display()))
            .with_source(error)
            .with_help("sqlx migrations are named VERSION_description.sql, or .up.sql and .down.sql in pairs")
    })
}

/// sqlx would apply one of them and lose the other without a word.
fn refuse_duplicates(inputs: &Inputs) -> Result<()> {
    let mut seen: BTreeMap<(i64, bool), &str> = BTreeMap::new();
    for file in &inputs.migrations {
        let Some((version, is_down)) = version_of(&file.shown) else { continue };
        if let Some(other) = seen.insert((version, is_down), &file.shown) {
            return Err(Error::new(
                ErrorKind::MigrationSource,
                format!("two migrations have the version {version}: {other} and {}", file.shown),
            )
            .with_help("rename one of them"));
        }
    }
    Ok(())
}

/// The version in a migration's file name, and whether it leads down.
fn version_of(shown: &str) -> Option<(i64, bool)> {
    let name = shown.rsplit('/').next()?;
    let (version, rest) = name.split_once('_')?;
    Some((version.parse().ok()?, rest.ends_with(".down.sql")))
}

fn script_of<'a>(migration: &Migration, scripts: &'a [Script]) -> Option<&'a Script> {
    scripts.iter().find(|script| version_of(script.name()) == Some((migration.version, false)))
}

async fn refused(
    connection: &mut PgConnection,
    migration: &Migration,
    scripts: &[Script],
    error: sqlx::Error,
) -> Error {
    let step = format!("migration {} ({})", migration.version, migration.description);
    let Some(script) = script_of(migration, scripts) else { return sql_error::failed(&step, error) };
    // Many errors point nowhere: then the statements are run one by one, in a database that is dropped next.
    let found = if failure::has_position(&error) { None } else { find_statement(connection, script).await };
    let (sent_from, error) = found.unwrap_or((0, error));
    Refusal { kind: ErrorKind::Migration, step, script, sent_from, prefix_characters: 0, all: scripts }.report(error)
}

/// The offset of the first statement that fails, with its error.
async fn find_statement(connection: &mut PgConnection, script: &Script) -> Option<(usize, sqlx::Error)> {
    sqlx::raw_sql("rollback; begin").execute(&mut *connection).await.ok()?;
    for statement in script.statements() {
        let sent = AssertSqlSafe(statement.text().to_owned());
        if let Err(error) = sqlx::raw_sql(sent).execute(&mut *connection).await {
            return Some((statement.offset(), error));
        }
    }
    None
}

fn too_slow(migration: &Migration, limit: Duration, scripts: &[Script]) -> Error {
    let name = script_of(migration, scripts).map_or("its file", Script::name);
    Error::new(
        ErrorKind::Timeout,
        format!("migration {} ({}) is not done after {limit:?} ({name})", migration.version, migration.description),
    )
    .with_help("raise provision.timeout or EBBTIDE_PROVISION_TIMEOUT, or look for a lock that the migration waits for")
}

fn ledger_refused(error: &MigrateError) -> Error {
    Error::new(ErrorKind::Migration, format!("the migration ledger {LEDGER} cannot be used"))
        .with_source(error.to_string())
        .with_help("a migration has dropped or changed it; that table belongs to sqlx")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_comes_from_the_file_name() {
        assert_eq!(version_of("migrations/0012_add_users.up.sql"), Some((12, false)));
        assert_eq!(version_of("20250101000000_x.down.sql"), Some((20_250_101_000_000, true)));
        assert_eq!(version_of("migrations/readme.sql"), None);
    }
}
