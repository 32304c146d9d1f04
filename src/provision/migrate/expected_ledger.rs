//! A ledger that ebbtide wrote with its own statements, compared with the files.

use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::ledger_places::{self, Comparison, Ledger};
use super::tool::recorded_as_applied;
use crate::catalog::RelationName;
use crate::error::{Error, ErrorKind, Result};
use crate::names::Ident;

/// The rows that a tool's ledger must hold after the files are applied.
#[derive(Debug)]
pub(super) struct ExpectedLedger {
    pub(super) table: &'static str,
    /// Selects version and checksum, both as text, from the table without its schema. The checksum
    /// is null if the tool has none.
    pub(super) select: &'static str,
    /// In the order in which the files are applied.
    pub(super) rows: Vec<LedgerRow>,
}

/// One row of a ledger.
#[derive(Debug)]
pub(super) struct LedgerRow {
    pub(super) version: String,
    pub(super) checksum: Option<String>,
}

impl ExpectedLedger {
    /// Checks that the ledger has exactly the rows of the files. Returns what
    /// [`recorded_as_applied`] makes of the latest version.
    pub(super) async fn verify(&self, connection: &mut PgConnection) -> Result<String> {
        let table = self.table;
        let differences = match ledger_places::compare(connection, self).await? {
            Comparison::Equal(place) => {
                let latest = self.latest().unwrap_or_default();
                return Ok(recorded_as_applied(None, &place, &latest));
            }
            Comparison::Different(differences) => differences,
        };
        Err(Error::new(
            ErrorKind::LedgerMismatch,
            format!("the migration ledger {table} differs from the migration files"),
        )
        .with_evidence("differences", differences.join("\n"))
        .with_help("a migration writes to the ledger: leave this table to the migration tool"))
    }

    /// The latest version of the files; `None` if there are none.
    pub(super) fn latest(&self) -> Option<String> {
        self.rows.last().map(|file| file.version.clone())
    }
}

impl Ledger for ExpectedLedger {
    type Row = FoundRow;

    fn table(&self) -> &str {
        self.table
    }

    fn read<'c>(
        &'c self,
        connection: &'c mut PgConnection,
        place: &'c RelationName,
    ) -> BoxFuture<'c, Result<Vec<FoundRow>, sqlx::Error>> {
        Box::pin(rows_of(connection, place, self.select))
    }

    fn differences(&self, rows: &[FoundRow]) -> Vec<String> {
        let mut differences = Vec::new();
        for file in &self.rows {
            let mut found = rows.iter().filter(|(version, _)| *version == file.version);
            if found.clone().next().is_none() {
                differences.push(format!("{} is not in the ledger", file.version));
            } else if found.any(|(_, checksum)| *checksum != file.checksum) {
                differences.push(format!(
                    "{} has a different checksum in the ledger",
                    file.version
                ));
            }
        }
        let unknown = rows
            .iter()
            .filter(|(version, _)| !self.rows.iter().any(|file| file.version == *version));
        differences.extend(unknown.map(|(version, _)| {
            format!("{version} is in the ledger, but no migration has this version")
        }));
        differences
    }
}

/// A version and its checksum, as the ledger has them.
type FoundRow = (String, Option<String>);

/// Selects the rows of the ledger in one schema.
async fn rows_of(
    connection: &mut PgConnection,
    place: &RelationName,
    select: &'static str,
) -> Result<Vec<FoundRow>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let path = format!("set local search_path to {}", Ident(&place.schema));
    sqlx::raw_sql(AssertSqlSafe(path))
        .execute(&mut *transaction)
        .await?;
    let rows = sqlx::raw_sql(select).fetch_all(&mut *transaction).await?;
    transaction.rollback().await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}
