//! sqlx migrations: a directory, or embedded in the test's binary.
//!
//! ebbtide applies the files itself instead of calling `Migrator::run`: it must find the statement
//! that failed or hangs (see `step`). It writes the ledger as sqlx does, so that `Migrator::run` in
//! the application finds nothing left to apply.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::AssertSqlSafe;
use sqlx::migrate::{Migrate as _, Migration, Migrator};
use sqlx::postgres::PgConnection;

use super::context::MigrationContext;
use super::step::{
    Direction, LedgerWrite, Reversal, Step, Transaction, WriteLedger, ledger_refused,
    ledger_unreadable,
};
use super::tool::{DirectoryTool, Tool, duplicate_version, no_migration, recorded_as_applied};
use crate::catalog::LedgerLayout;
use crate::config::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::provision::dir_entries::{is_sql_file, name_of, sql_files};
use crate::provision::inputs::{MigrationInputs, MigrationSource};
use crate::provision::provision_report::MigrationReport;
use crate::provision::sql_script::Script;
use crate::sql_error;

/// <https://docs.rs/sqlx/latest/sqlx/migrate/>
const TABLE: &str = "_sqlx_migrations";

const NAMING: &str =
    "sqlx migrations are named VERSION_description.sql, or .up.sql and .down.sql in pairs";

pub(super) static TOOL: Tool = Tool {
    ledger: Some(LedgerLayout {
        table: TABLE,
        latest: "max(version)",
        counts: "success",
        dirty: Some("not success"),
    }),
    ledger_label: Some("the ledger"),
    directory: Some(DirectoryTool {
        layout: Layout::Sqlx,
        label: "named like sqlx",
        naming: NAMING,
        naming_clause: "sqlx migrations are named VERSION_description.sql",
        // A directory and the migrator that embeds it have the same fingerprint.
        fingerprint_part: None,
        is_migration,
        list: sql_files,
        migrate: |context, inputs| Box::pin(migrate(context, inputs)),
        verify: Some(|connection, inputs, _| Box::pin(verify(connection, inputs))),
        latest: Some(|inputs| Box::pin(latest(inputs))),
        reversals: Some(|context, inputs| Box::pin(reversals(context, inputs))),
    }),
};

fn is_migration(path: &Path) -> bool {
    is_sql_file(path) && sqlx_version(name_of(path)).is_some()
}

/// The version and the rest of the name of a migration file.
fn sqlx_version(name: &str) -> Option<(i64, &str)> {
    let (version, rest) = name.split_once('_')?;
    Some((version.parse().ok()?, rest))
}

/// Applies every migration, in the order of the versions.
async fn migrate(
    context: &mut MigrationContext<'_>,
    inputs: &MigrationInputs,
) -> Result<Vec<MigrationReport>> {
    let migrator = resolve(inputs).await?;
    let ups = migrator
        .iter()
        .filter(|migration| !migration.migration_type.is_down_migration());
    let scripts = context.scripts;
    let steps: Vec<Step<'_>> = ups.map(|migration| step(migration, scripts)).collect();
    if steps.is_empty() {
        return Err(no_migration(&source_name(inputs), NAMING));
    }
    create_ledger(context).await?;
    context.apply_all(&steps).await
}

/// All migrations in the order of the versions, to be applied and reverted one by one. Creates the
/// ledger.
async fn reversals<'a>(
    context: &mut MigrationContext<'a>,
    inputs: &MigrationInputs,
) -> Result<Vec<Reversal<'a>>> {
    let migrator = resolve(inputs).await?;
    create_ledger(context).await?;
    let scripts = context.scripts;
    let (downs, ups): (Vec<&Migration>, Vec<&Migration>) = migrator
        .iter()
        .partition(|migration| migration.migration_type.is_down_migration());
    let reversal = |up: &Migration| Reversal {
        up: step(up, scripts),
        down: downs
            .iter()
            .find(|down| down.version == up.version)
            .map(|down| step(down, scripts)),
    };
    Ok(ups.into_iter().map(reversal).collect())
}

async fn create_ledger(context: &mut MigrationContext<'_>) -> Result<()> {
    context
        .connection
        .ensure_migrations_table(TABLE)
        .await
        .map_err(|error| ledger_refused(TABLE, error))
}

/// The latest version of the migrations.
async fn latest(inputs: &MigrationInputs) -> Result<Option<String>> {
    let migrator = resolve(inputs).await?;
    let ups = migrator
        .iter()
        .filter(|it| !it.migration_type.is_down_migration());
    Ok(ups
        .map(|migration| migration.version)
        .max()
        .map(|version| version.to_string()))
}

/// The migrations as sqlx parses them. Sources without files or migrator are not sqlx's, and have
/// none.
///
/// Each call reads the directory again, so a later call detects a file that has changed.
async fn resolve(inputs: &MigrationInputs) -> Result<Migrator> {
    refuse_duplicates(inputs)?;
    let dir = match &inputs.source {
        MigrationSource::Files(_, dir) => dir,
        MigrationSource::Embedded(migrator) => {
            return Ok(Migrator::with_migrations(
                migrator.iter().cloned().collect(),
            ));
        }
        MigrationSource::Command(_) | MigrationSource::Function(_) => {
            return Ok(Migrator::with_migrations(Vec::new()));
        }
    };
    Migrator::new(dir.as_path()).await.map_err(|error| {
        Error::new(
            ErrorKind::MigrationSource,
            format!("the migrations in {} cannot be read", dir.display()),
        )
        .with_source(error)
        .with_help(NAMING)
    })
}

/// The row of one migration, written by sqlx's own code.
#[derive(Debug)]
struct Row(Migration);

impl WriteLedger for Row {
    /// `skip` writes the row of an applied migration without executing its SQL.
    fn write<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<()>> {
        Box::pin(async {
            let written = connection.skip(TABLE, &self.0).await;
            written.map_err(|error| ledger_refused(TABLE, error))
        })
    }

    /// Writes the execution time, in nanoseconds. sqlx, too, does that after the migration is
    /// committed, because it includes the time of the commit.
    fn after_commit<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        took: Duration,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            sqlx::query(AssertSqlSafe(format!(
                "update {TABLE} set execution_time = $1 where version = $2"
            )))
            .bind(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX))
            .bind(self.0.version)
            .execute(connection)
            .await
            .map(drop)
            .map_err(|error| ledger_refused(TABLE, error))
        })
    }
}

fn step<'a>(migration: &Migration, scripts: &'a [Script]) -> Step<'a> {
    let is_down = migration.migration_type.is_down_migration();
    Step {
        direction: if is_down {
            Direction::Down
        } else {
            Direction::Up
        },
        version: migration.version.to_string(),
        description: migration.description.to_string(),
        script: scripts
            .iter()
            .find(|script| version_of(script.name()) == Some((migration.version, is_down))),
        text: Cow::Owned(migration.sql.as_str().to_owned()),
        transaction: if migration.no_tx {
            Transaction::None
        } else {
            Transaction::Own
        },
        ledger_write: if is_down {
            LedgerWrite::Statement {
                ledger: TABLE,
                sql: format!("delete from {TABLE} where version = {}", migration.version),
            }
        } else {
            LedgerWrite::Custom(Box::new(Row(migration.clone())))
        },
    }
}

/// Checks that the ledger has exactly the versions of the files, with their checksums, and that
/// none is dirty. Returns what [`recorded_as_applied`] makes of the latest version.
async fn verify(connection: &mut PgConnection, inputs: &MigrationInputs) -> Result<String> {
    // The files are read again on purpose: a file that changed while the migrations ran now differs
    // from the ledger.
    let migrator = resolve(inputs).await?;
    let applied = connection
        .list_applied_migrations(TABLE)
        .await
        .map_err(|error| ledger_unreadable(TABLE, error))?;
    let dirty = sqlx::query_scalar::<_, i64>(AssertSqlSafe(format!(
        "select version from {TABLE} where not success"
    )))
    .fetch_all(&mut *connection)
    .await
    .map_err(|error| sql_error::failed("reading the ledger", error))?;
    let mut differences: Vec<String> = dirty
        .iter()
        .map(|version| format!("{version} is dirty: it started and was never marked successful"))
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
                "{} ({}) has a different checksum in the ledger: {} instead of {}",
                file.version,
                file.description,
                &hex::encode(&row.checksum)[..12.min(row.checksum.len() * 2)],
                &hex::encode(&file.checksum)[..12]
            )),
            Some(_) => {}
        }
    }
    for row in &applied {
        if !files.iter().any(|file| file.version == row.version) {
            differences.push(format!(
                "{} is in the ledger, but no file has this version",
                row.version
            ));
        }
    }
    if differences.is_empty() {
        let latest = files.last().map(|file| file.version.to_string());
        return Ok(recorded_as_applied(
            TOOL.ledger_label,
            TABLE,
            &latest.unwrap_or_default(),
        ));
    }
    Err(Error::new(
        ErrorKind::LedgerMismatch,
        "the migration ledger differs from the migration files",
    )
    .with_evidence("differences", differences.join("\n"))
    .with_help(
        "a migration writes to the ledger, or a file changed while it was applied: leave this \
         table to sqlx, and run the tests again",
    ))
}

/// What an error calls the source of the migrations.
fn source_name(inputs: &MigrationInputs) -> String {
    match &inputs.source {
        MigrationSource::Files(_, dir) => dir.display().to_string(),
        _ => "the migrator".to_owned(),
    }
}

/// Rejects two files with one version and one direction: sqlx would apply one of them and silently
/// ignore the other.
fn refuse_duplicates(inputs: &MigrationInputs) -> Result<()> {
    let mut files: BTreeMap<(i64, bool), &str> = BTreeMap::new();
    for file in &inputs.files {
        let Some((version, is_down)) = version_of(&file.display_path) else {
            continue;
        };
        if let Some(other) = files.insert((version, is_down), &file.display_path) {
            return Err(duplicate_version(&version, other, &file.display_path));
        }
    }
    Ok(())
}

/// The version in a migration's path, and whether it is a down migration.
fn version_of(path: &str) -> Option<(i64, bool)> {
    let (version, rest) = sqlx_version(path.rsplit('/').next()?)?;
    Some((version, rest.ends_with(".down.sql")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_ends_at_the_first_underscore() {
        assert_eq!(
            sqlx_version("0012_add_users.up.sql"),
            Some((12, "add_users.up.sql"))
        );
        assert_eq!(sqlx_version("readme.sql"), None);
    }

    #[test]
    fn the_version_comes_from_the_file_name() {
        assert_eq!(
            version_of("migrations/0012_add_users.up.sql"),
            Some((12, false))
        );
        assert_eq!(
            version_of("20250101000000_x.down.sql"),
            Some((20_250_101_000_000, true))
        );
        assert_eq!(version_of("migrations/readme.sql"), None);
    }
}
