//! sqlx's ledger: the rows that it writes, and their comparison with the migrations.

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::migrate::{Migrate as _, Migration, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use super::expected_ledger::{explained_by_line_endings, with_other_line_endings};
use super::ledger_places::{self, Comparison, Ledger};
use super::step::{WriteLedger, ledger_refused};
use super::tool::{ToolLedger, recorded_as_applied};
use crate::catalog::RelationName;
use crate::error::{Error, ErrorKind, Result};

/// The default name (<https://docs.rs/sqlx/latest/sqlx/migrate/>).
pub(super) const TABLE: &str = "_sqlx_migrations";
pub(super) const LABEL: &str = "the ledger";

/// The row of one migration, written by sqlx's own code where the session's `search_path` finds the
/// table. A down migration deletes the row.
#[derive(Debug)]
pub(super) struct Row {
    /// SQL: the ledger's name.
    pub(super) table: String,
    pub(super) migration: Migration,
}

impl WriteLedger for Row {
    /// `skip` writes the row of an applied migration without executing its SQL.
    fn write<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<()>> {
        let Self { table, migration } = self;
        Box::pin(async move {
            if !migration.migration_type.is_down_migration() {
                let written = connection.skip(table, migration).await;
                return written.map_err(|error| ledger_refused(table, error));
            }
            let delete = format!("delete from {table} where version = $1");
            let deleted = sqlx::query(AssertSqlSafe(delete))
                .bind(migration.version)
                .execute(connection)
                .await;
            deleted
                .map(drop)
                .map_err(|error| ledger_refused(table, error))
        })
    }

    /// Writes the execution time, in nanoseconds. sqlx, too, does that after the migration is
    /// committed, because it includes the time of the commit.
    fn after_commit<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        took: Duration,
    ) -> BoxFuture<'a, Result<()>> {
        let Self { table, migration } = self;
        Box::pin(async move {
            if migration.migration_type.is_down_migration() {
                return Ok(());
            }
            let update = format!("update {table} set execution_time = $1 where version = $2");
            let updated = sqlx::query(AssertSqlSafe(update))
                .bind(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX))
                .bind(migration.version)
                .execute(connection)
                .await;
            updated
                .map(drop)
                .map_err(|error| ledger_refused(table, error))
        })
    }
}

/// The ledger of a migrator.
pub(super) struct SqlxLedger(pub(super) Migrator);

impl ToolLedger for SqlxLedger {
    fn table(&self) -> &str {
        &self.0.table_name
    }

    fn latest(&self) -> Option<String> {
        let latest = self.files().map(|migration| migration.version).max();
        latest.map(|version| version.to_string())
    }

    fn verify<'c>(&'c self, connection: &'c mut PgConnection) -> BoxFuture<'c, Result<String>> {
        Box::pin(self.compare(connection))
    }
}

impl SqlxLedger {
    fn files(&self) -> impl Iterator<Item = &Migration> {
        let all = self.0.iter();
        all.filter(|migration| !migration.migration_type.is_down_migration())
    }

    /// Checks that the ledger has exactly the versions of the files, with their checksums, and that
    /// none is dirty. A migrator that ignores missing migrations accepts other versions too.
    async fn compare(&self, connection: &mut PgConnection) -> Result<String> {
        let found = match ledger_places::compare(connection, self).await? {
            Comparison::Equal(place) => {
                let label = (place == TABLE).then_some(LABEL);
                let latest = self.latest().unwrap_or_default();
                return Ok(recorded_as_applied(label, &place, &latest));
            }
            Comparison::Different(differences) => differences,
        };
        Err(Error::new(
            ErrorKind::LedgerMismatch,
            "the migration ledger differs from the migration files",
        )
        .with_evidence("differences", found.join("\n"))
        .with_help(
            "a migration writes to the ledger, or a file changed while it was applied: leave this \
             table to sqlx, and run the tests again",
        ))
    }
}

impl Ledger for SqlxLedger {
    type Row = AppliedRow;

    fn read<'c>(
        &'c self,
        connection: &'c mut PgConnection,
        place: &'c RelationName,
    ) -> BoxFuture<'c, Result<Vec<AppliedRow>, sqlx::Error>> {
        Box::pin(applied_rows(connection, place))
    }

    fn differences(&self, rows: &[AppliedRow]) -> Vec<String> {
        differences(
            &self.files().collect::<Vec<_>>(),
            rows,
            self.0.ignore_missing,
        )
    }
}

/// A row of the ledger.
#[derive(Debug)]
pub(super) struct AppliedRow {
    version: i64,
    checksum: Vec<u8>,
    success: bool,
}

async fn applied_rows(
    connection: &mut PgConnection,
    place: &RelationName,
) -> Result<Vec<AppliedRow>, sqlx::Error> {
    let table = place.quoted();
    let select = format!("select version, checksum, success from {table} order by version");
    let rows: Vec<(i64, Vec<u8>, bool)> = sqlx::query_as(AssertSqlSafe(select))
        .fetch_all(connection)
        .await?;
    let row = |(version, checksum, success)| AppliedRow {
        version,
        checksum,
        success,
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Whether the checksum is that of the same file with the other line endings.
fn has_other_line_endings(file: &Migration, checksum: &[u8]) -> bool {
    let text = with_other_line_endings(file.sql.as_str());
    let other = Migration::new(
        file.version,
        file.description.clone(),
        file.migration_type,
        AssertSqlSafe(text).into_sql_str(),
        file.no_tx,
    );
    other.checksum[..] == *checksum
}

fn differences(files: &[&Migration], rows: &[AppliedRow], ignore_missing: bool) -> Vec<String> {
    let dirty = rows.iter().filter(|row| !row.success);
    let mut differences: Vec<String> = dirty
        .map(|row| {
            let version = row.version;
            format!("{version} is dirty: it started and was never marked successful")
        })
        .collect();
    for file in files {
        let mut of_file = rows.iter().filter(|row| row.version == file.version);
        let Some(first) = of_file.next() else {
            differences.push(format!(
                "{} ({}) is not in the ledger",
                file.version, file.description
            ));
            continue;
        };
        let different = std::iter::once(first)
            .chain(of_file)
            .find(|row| row.checksum[..] != file.checksum[..]);
        if let Some(row) = different {
            let reason = explained_by_line_endings(has_other_line_endings(file, &row.checksum));
            differences.push(format!(
                "{} ({}) has a different checksum in the ledger: {} instead of {}{reason}",
                file.version,
                file.description,
                &hex::encode(&row.checksum)[..12.min(row.checksum.len() * 2)],
                &hex::encode(&file.checksum)[..12.min(file.checksum.len() * 2)]
            ));
        }
    }
    for row in rows.iter().filter(|_| !ignore_missing) {
        if !files.iter().any(|file| file.version == row.version) {
            differences.push(format!(
                "{} is in the ledger, but no file has this version",
                row.version
            ));
        }
    }
    differences
}
