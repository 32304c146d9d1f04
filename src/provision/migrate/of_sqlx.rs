//! sqlx migrations: a directory, or embedded in the test's binary.
//!
//! ebbtide applies the files itself instead of calling `Migrator::run`: it must find the statement
//! that failed or hangs (see `step`). It writes the ledger as sqlx does, so that `Migrator::run` in
//! the application finds nothing left to apply.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sqlx::migrate::{Migrate as _, Migration, Migrator, ResolveConfig, ResolveWith};

use super::context::MigrationContext;
use super::message::Message;
use super::sqlx_ledger::{self, Row, SqlxLedger, TABLE};
use super::step::{LedgerWrite, Reversal, Step, Transaction, ledger_refused};
use super::tool::{DirectoryTool, Tool, ToolLedger, duplicate_version, no_migration};
use crate::catalog::{Columns, LedgerLayout};
use crate::config::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::provision::dir_entries::{is_sql_file, name_of, sql_files};
use crate::provision::direction::Direction;
use crate::provision::inputs::{MigrationInputs, MigrationSource};
use crate::provision::provision_report::MigrationReport;
use crate::provision::sql_script::Script;

const NAMING: &str =
    "sqlx migrations are named VERSION_description.sql, or .up.sql and .down.sql in pairs";

pub(super) static TOOL: Tool = Tool {
    ledger: Some(LedgerLayout {
        table: TABLE,
        columns: Columns::InAnyTable(&[
            "version",
            "description",
            "installed_on",
            "success",
            "checksum",
            "execution_time",
        ]),
        latest: "max(version)",
        counts: "success",
        dirty: Some("min(version) filter (where not success)"),
    }),
    ledger_label: Some(sqlx_ledger::LABEL),
    directory: Some(DirectoryTool {
        layout: Layout::Sqlx,
        label: "named like sqlx",
        naming: NAMING,
        naming_clause: "sqlx migrations are named VERSION_description.sql",
        // A directory and the migrator that embeds it have the same fingerprint.
        fingerprint_part: None,
        is_migration,
        version: |file| Some(version_of(&file.display_path)?.0.to_string()),
        has_down_files: true,
        removes_byte_order_mark: false,
        marked: None,
        list,
        migrate: |context, inputs| Box::pin(migrate(context, inputs)),
        ledger: Some(|inputs, _| {
            Box::pin(async {
                // The files are read again on purpose: a file that changed while the migrations
                // ran now differs from the ledger.
                let migrator = resolve(inputs).await?;
                Ok(Box::new(SqlxLedger(migrator)) as Box<dyn ToolLedger>)
            })
        }),
        reversals: Some(|context, inputs| Box::pin(reversals(context, inputs))),
    }),
};

fn is_migration(path: &Path) -> bool {
    is_sql_file(path) && sqlx_version(name_of(path)).is_some()
}

/// The files of the migrations in the order of the versions: `2_b.sql` runs before `10_a.sql`.
fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = sql_files(dir)?;
    paths.retain(|path| is_migration(path));
    paths.sort_by_cached_key(|path| version_of(name_of(path)));
    Ok(paths)
}

/// The version and the rest of the name of a migration file.
fn sqlx_version(name: &str) -> Option<(i64, &str)> {
    let (version, rest) = name.split_once('_')?;
    Some((version.parse().ok()?, rest))
}

/// Applies every migration that is not in the ledger, in the order of the migrator, as
/// `Migrator::run` does.
async fn migrate(
    context: &mut MigrationContext<'_>,
    inputs: &MigrationInputs,
) -> Result<Vec<MigrationReport>> {
    let migrator = resolve(inputs).await?;
    let has_up = |migration: &Migration| !migration.migration_type.is_down_migration();
    if !migrator.iter().any(has_up) {
        return Err(no_migration(&source_name(inputs), NAMING));
    }
    let table = migrator.table_name.clone();
    let refused = |error| ledger_refused(&table, error);
    if migrator.locking {
        context.connection.lock().await.map_err(refused)?;
    }
    create_ledger(context, &migrator).await?;
    // The ledger of a new database can have rows: what ran before may have created it.
    let applied = context.connection.list_applied_migrations(&table).await;
    let applied = applied.map_err(refused)?;
    let is_pending = |migration: &&Migration| {
        has_up(migration) && !applied.iter().any(|row| row.version == migration.version)
    };
    let scripts = context.scripts;
    let steps: Vec<Step<'_>> = migrator
        .iter()
        .filter(is_pending)
        .map(|migration| step(migration, &table, scripts))
        .collect();
    let reports = context.apply_all(&steps).await?;
    if migrator.locking {
        context.connection.unlock().await.map_err(refused)?;
    }
    Ok(reports)
}

/// All migrations in the order of the versions, to be applied and reverted one by one. Creates the
/// ledger.
async fn reversals<'a>(
    context: &mut MigrationContext<'a>,
    inputs: &MigrationInputs,
) -> Result<Vec<Reversal<'a>>> {
    let migrator = resolve(inputs).await?;
    create_ledger(context, &migrator).await?;
    let (scripts, table) = (context.scripts, &migrator.table_name);
    let (downs, ups): (Vec<&Migration>, Vec<&Migration>) = migrator
        .iter()
        .partition(|migration| migration.migration_type.is_down_migration());
    let reversal = |up: &Migration| Reversal {
        up: step(up, table, scripts),
        down: downs
            .iter()
            .find(|down| down.version == up.version)
            .map(|down| step(down, table, scripts)),
    };
    Ok(ups.into_iter().map(reversal).collect())
}

/// Creates the schemas that the configuration names, and then the ledger.
async fn create_ledger(context: &mut MigrationContext<'_>, migrator: &Migrator) -> Result<()> {
    let table = &migrator.table_name;
    for schema in migrator.create_schemas.iter() {
        let created = context.connection.create_schema_if_not_exists(schema).await;
        created.map_err(|error| {
            let message = format!("sqlx's create-schemas must be names, but {schema} is refused");
            Error::new(ErrorKind::Migration, message)
                .with_source(error)
                .with_help("correct create-schemas in sqlx.toml or in the migrator")
        })?;
    }
    context
        .connection
        .ensure_migrations_table(table)
        .await
        .map_err(|error| ledger_refused(table, error))
}

/// The migrator that the application has: the embedded one, or the one that `sqlx::migrate!()`
/// makes of the directory and of `sqlx.toml`. Sources without files or migrator are not sqlx's, and have
/// no migrations.
///
/// Each call reads the directory again, so a later call detects a file that has changed. The field
/// `no_tx` is left out, because `Migrator::run` does not read it: each migration has its own.
async fn resolve(inputs: &MigrationInputs) -> Result<Migrator> {
    refuse_duplicates(inputs)?;
    let dir = match &inputs.source {
        MigrationSource::Files(_, dir) => dir,
        MigrationSource::Embedded(migrator) => {
            return Ok(Migrator {
                migrations: part_of(migrator.migrations.clone(), inputs),
                ignore_missing: migrator.ignore_missing,
                locking: migrator.locking,
                table_name: migrator.table_name.clone(),
                create_schemas: migrator.create_schemas.clone(),
                ..Migrator::DEFAULT
            });
        }
        MigrationSource::Command(_) | MigrationSource::Function(_) => {
            return Ok(Migrator::with_migrations(Vec::new()));
        }
    };
    let mut config = ResolveConfig::new();
    config.ignore_chars(inputs.sqlx.ignored_chars.iter().copied());
    let migrator = Migrator::new(ResolveWith(dir.as_path(), config)).await;
    let mut migrator = migrator.map_err(|error| {
        Error::new(
            ErrorKind::MigrationSource,
            format!("the migrations in {} cannot be read", dir.display()),
        )
        .with_source(error)
        .with_help(NAMING)
    })?;
    migrator.migrations = part_of(migrator.migrations, inputs);
    if let Some(table) = &inputs.sqlx.table_name {
        migrator.dangerous_set_table_name(table.clone());
    }
    for schema in &inputs.sqlx.create_schemas {
        migrator.create_schema(schema.clone());
    }
    Ok(migrator)
}

/// The migrations that belong to the inputs, which may be a part of the source.
fn part_of(
    mut migrations: Cow<'static, [Migration]>,
    inputs: &MigrationInputs,
) -> Cow<'static, [Migration]> {
    if inputs.is_part() {
        let versions = inputs.files.iter();
        let versions = versions.filter_map(|file| Some(version_of(&file.display_path)?.0));
        let versions: BTreeSet<i64> = versions.collect();
        migrations
            .to_mut()
            .retain(|migration| versions.contains(&migration.version));
    }
    migrations
}

fn step<'a>(migration: &Migration, table: &str, scripts: &'a [Script]) -> Step<'a> {
    let is_down = migration.migration_type.is_down_migration();
    Step {
        direction: if is_down {
            Direction::Down
        } else {
            Direction::Up
        },
        version: migration.version.to_string(),
        description: migration.description.to_string(),
        script: script_of(scripts, (migration.version, is_down)).map(Cow::Borrowed),
        messages: vec![Message::whole(migration.sql.as_str().to_owned())],
        transaction: if migration.no_tx {
            Transaction::None
        } else {
            Transaction::Own
        },
        ledger_write: LedgerWrite::Custom(Box::new(Row {
            table: table.to_owned(),
            migration: migration.clone(),
        })),
    }
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

/// The script with this version and direction. The scripts of a directory are in that order; those
/// of an embedded migrator have the order in which it was made.
fn script_of(scripts: &[Script], key: (i64, bool)) -> Option<&Script> {
    let is_it = |script: &&Script| version_of(script.name()) == Some(key);
    let at = scripts.partition_point(|script| version_of(script.name()) < Some(key));
    let in_order = scripts.get(at).filter(is_it);
    in_order.or_else(|| scripts.iter().find(is_it))
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
