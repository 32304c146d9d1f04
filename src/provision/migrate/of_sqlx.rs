//! sqlx's migrations: a directory, or embedded in the test's binary.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::migrate::{Migrate as _, Migration, Migrator};
use sqlx::postgres::PgConnection;

use super::Site;
use super::step::{Record, Step, Transaction, Way, ledger_refused};
use crate::catalog::SQLX_LEDGER;
use crate::config::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::provision::inputs::{Inputs, MigrationSource};
use crate::provision::layout::{no_migration, sqlx_version};
use crate::provision::report::MigrationReport;
use crate::provision::script::Script;

/// Applies every migration in the order of the versions.
pub(super) async fn migrate(site: &mut Site<'_>, inputs: &Inputs) -> Result<Vec<MigrationReport>> {
    let Some(migrator) = resolve(inputs).await? else {
        return Ok(Vec::new());
    };
    let ups = migrator
        .iter()
        .filter(|migration| !migration.migration_type.is_down_migration());
    let scripts = site.scripts;
    let steps: Vec<Step<'_>> = ups.map(|migration| step(migration, scripts)).collect();
    if steps.is_empty() {
        return Err(no_migration(&shown(inputs), Some(Layout::Sqlx)));
    }
    make_ledger(site).await?;
    site.apply_all(&steps).await
}

/// A migration's way up, and its way down if there is one.
#[derive(Debug)]
pub(in crate::provision) struct Reversal<'a> {
    pub(in crate::provision) version: i64,
    pub(in crate::provision) description: &'a str,
    up: Step<'a>,
    down: Option<Step<'a>>,
}

/// All migrations in the order of the versions, to be taken up and down on a site whose ledger is made here.
pub(in crate::provision) async fn reversals<'a>(
    site: &mut Site<'a>,
    migrator: &'a Migrator,
) -> Result<Vec<Reversal<'a>>> {
    make_ledger(site).await?;
    let scripts = site.scripts;
    let (downs, ups): (Vec<&Migration>, Vec<&Migration>) = migrator
        .iter()
        .partition(|migration| migration.migration_type.is_down_migration());
    let reversal = |up: &'a Migration| Reversal {
        version: up.version,
        description: &up.description,
        up: step(up, scripts),
        down: downs
            .iter()
            .find(|down| down.version == up.version)
            .map(|down| step(down, scripts)),
    };
    Ok(ups.into_iter().map(reversal).collect())
}

impl Reversal<'_> {
    pub(in crate::provision) async fn up(&self, site: &mut Site<'_>) -> Result<()> {
        site.apply_all(std::slice::from_ref(&self.up))
            .await
            .map(drop)
    }

    /// Whether there is a way down, which was taken.
    pub(in crate::provision) async fn down(&self, site: &mut Site<'_>) -> Result<bool> {
        match &self.down {
            Some(down) => site
                .apply_all(std::slice::from_ref(down))
                .await
                .map(|_| true),
            None => Ok(false),
        }
    }
}

async fn make_ledger(site: &mut Site<'_>) -> Result<()> {
    site.connection
        .ensure_migrations_table(SQLX_LEDGER)
        .await
        .map_err(|error| ledger_refused(SQLX_LEDGER, error))
}

/// The latest version of the migrations; none where they are not known by version.
pub(crate) async fn head(inputs: &Inputs) -> Result<Option<String>> {
    let migrator = resolve(inputs).await?;
    let ups = migrator
        .iter()
        .flat_map(Migrator::iter)
        .filter(|it| !it.migration_type.is_down_migration());
    Ok(ups
        .map(|migration| migration.version)
        .max()
        .map(|version| version.to_string()))
}

/// The migrations as sqlx sees them; none when they are not sqlx's.
pub(in crate::provision) async fn resolve(inputs: &Inputs) -> Result<Option<Migrator>> {
    let dir = match &inputs.source {
        MigrationSource::Embedded(migrator) => {
            refuse_duplicates(inputs)?;
            return Ok(Some(Migrator::with_migrations(
                migrator.iter().cloned().collect(),
            )));
        }
        MigrationSource::Files(Layout::Sqlx, dir) => dir,
        MigrationSource::None
        | MigrationSource::Files(Layout::Sql | Layout::Refinery | Layout::Diesel, _)
        | MigrationSource::Command(_)
        | MigrationSource::Function(_) => return Ok(None),
    };
    refuse_duplicates(inputs)?;
    Migrator::new(dir.as_path()).await.map(Some).map_err(|error| {
        Error::new(ErrorKind::MigrationSource, format!("the migrations in {} cannot be read", dir.display()))
            .with_source(error)
            .with_help("sqlx migrations are named VERSION_description.sql, or .up.sql and .down.sql in pairs")
    })
}

/// What sqlx writes last, in nanoseconds.
pub(super) async fn write_time(
    connection: &mut PgConnection,
    migration: &Migration,
    took: Duration,
) -> Result<()> {
    sqlx::query(AssertSqlSafe(format!(
        "update {SQLX_LEDGER} set execution_time = $1 where version = $2"
    )))
    .bind(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX))
    .bind(migration.version)
    .execute(connection)
    .await
    .map(drop)
    .map_err(|error| ledger_refused(SQLX_LEDGER, error))
}

fn step<'a>(migration: &'a Migration, scripts: &'a [Script]) -> Step<'a> {
    let is_down = migration.migration_type.is_down_migration();
    Step {
        way: if is_down { Way::Down } else { Way::Up },
        version: migration.version.to_string(),
        description: migration.description.to_string(),
        script: scripts
            .iter()
            .find(|script| version_of(script.name()) == Some((migration.version, is_down))),
        text: migration.sql.as_str(),
        transaction: if migration.no_tx {
            Transaction::None
        } else {
            Transaction::Own
        },
        record: if is_down {
            Record::Statement {
                ledger: SQLX_LEDGER,
                sql: format!(
                    "delete from {SQLX_LEDGER} where version = {}",
                    migration.version
                ),
            }
        } else {
            Record::Sqlx(migration)
        },
    }
}

fn shown(inputs: &Inputs) -> String {
    match &inputs.source {
        MigrationSource::Files(_, dir) => dir.display().to_string(),
        _ => "the migrator".to_owned(),
    }
}

/// sqlx would apply one of them and lose the other without a word.
fn refuse_duplicates(inputs: &Inputs) -> Result<()> {
    let mut seen: BTreeMap<(i64, bool), &str> = BTreeMap::new();
    for file in &inputs.migrations {
        let Some((version, is_down)) = version_of(&file.shown) else {
            continue;
        };
        if let Some(other) = seen.insert((version, is_down), &file.shown) {
            return Err(two_of_one_version(&version, other, &file.shown));
        }
    }
    Ok(())
}

pub(super) fn two_of_one_version(version: &dyn std::fmt::Display, one: &str, other: &str) -> Error {
    let message = format!("two migrations have the version {version}: {one} and {other}");
    Error::new(ErrorKind::MigrationSource, message).with_help("rename one of them")
}

/// The version in a migration's file name, and whether it leads down.
fn version_of(shown: &str) -> Option<(i64, bool)> {
    let (version, rest) = sqlx_version(shown.rsplit('/').next()?)?;
    Some((version, rest.ends_with(".down.sql")))
}

#[cfg(test)]
mod tests {
    use super::*;

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
