//! A ledger that ebbtide wrote with its own statements, compared with the files.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::step::ledger_unreadable;
use super::tool::recorded_as_applied;
use crate::error::{Error, ErrorKind, Result};

/// The rows that a tool's ledger must hold after the files are applied.
#[derive(Debug)]
pub(super) struct ExpectedLedger {
    pub(super) table: &'static str,
    /// Selects version and checksum, both as text. The checksum is null if the tool has none.
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
        let rows = sqlx::raw_sql(self.select)
            .fetch_all(connection)
            .await
            .and_then(|rows| {
                rows.iter()
                    .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                    .collect::<Result<Vec<_>, sqlx::Error>>()
            });
        let rows: Vec<(String, Option<String>)> =
            rows.map_err(|error| ledger_unreadable(table, error))?;
        let differences = self.differences(&rows);
        if differences.is_empty() {
            let latest = self.latest().unwrap_or_default();
            return Ok(recorded_as_applied(None, table, &latest));
        }
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

    fn differences(&self, rows: &[(String, Option<String>)]) -> Vec<String> {
        let mut differences = Vec::new();
        for file in &self.rows {
            match rows.iter().find(|(version, _)| *version == file.version) {
                None => differences.push(format!("{} is not in the ledger", file.version)),
                Some((_, found)) if *found != file.checksum => differences.push(format!(
                    "{} has a different checksum in the ledger",
                    file.version
                )),
                Some(_) => {}
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
