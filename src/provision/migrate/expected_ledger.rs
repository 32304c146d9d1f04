//! A ledger that ebbtide wrote with its own statements, compared with the files.

use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::ledger_places::{self, Comparison, Ledger};
use super::tool::{ToolLedger, recorded_as_applied};
use crate::catalog::RelationName;
use crate::error::{Error, ErrorKind, Result};
use crate::names::Ident;

/// What is added to a different checksum: the line endings, if they explain it.
pub(super) fn explained_by_line_endings(are_other: bool) -> &'static str {
    if are_other { OTHER_LINE_ENDINGS } else { "" }
}

const OTHER_LINE_ENDINGS: &str = ", because the file was applied with other line endings (CRLF instead of LF, or the reverse): \
     git's autocrlf changes them";

/// A text with the other line endings: LF instead of CRLF if it has any, else CRLF.
pub(super) fn with_other_line_endings(text: &str) -> String {
    if text.contains("\r\n") {
        text.replace("\r\n", "\n")
    } else {
        text.replace('\n', "\r\n")
    }
}

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
    /// The checksum of the same file with the other line endings.
    pub(super) other_line_endings: Option<String>,
}

/// The ledger of a tool whose files need not be read again.
pub(super) fn ready<'c>(
    ledger: Result<ExpectedLedger>,
) -> BoxFuture<'c, Result<Box<dyn ToolLedger>>> {
    Box::pin(async { Ok(Box::new(ledger?) as Box<dyn ToolLedger>) })
}

impl ToolLedger for ExpectedLedger {
    fn table(&self) -> &str {
        self.table
    }

    fn latest(&self) -> Option<String> {
        self.rows.last().map(|file| file.version.clone())
    }

    fn verify<'c>(&'c self, connection: &'c mut PgConnection) -> BoxFuture<'c, Result<String>> {
        Box::pin(self.compare(connection))
    }
}

impl ExpectedLedger {
    /// Checks that the ledger has exactly the rows of the files.
    async fn compare(&self, connection: &mut PgConnection) -> Result<String> {
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
}

impl Ledger for ExpectedLedger {
    type Row = FoundRow;

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
            } else if let Some((_, other)) = found.find(|(_, it)| *it != file.checksum) {
                let are_other = other.is_some() && *other == file.other_line_endings;
                let reason = explained_by_line_endings(are_other);
                differences.push(format!(
                    "{} has a different checksum in the ledger{reason}",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_of_other_line_endings_is_explained() {
        let ledger = ExpectedLedger {
            table: "history",
            select: "",
            rows: vec![LedgerRow {
                version: "1".to_owned(),
                checksum: Some("7".to_owned()),
                other_line_endings: Some("8".to_owned()),
            }],
        };
        let differences = |checksum: &str| {
            let found = ("1".to_owned(), Some(checksum.to_owned()));
            ledger.differences(&[found]).join(" ")
        };
        assert_eq!(differences("7"), "");
        assert!(differences("8").contains("with other line endings"));
        assert!(differences("9").ends_with("in the ledger"));
        assert_eq!(with_other_line_endings("a\r\nb\n"), "a\nb\n");
        assert_eq!(with_other_line_endings("a\nb"), "a\r\nb");
    }
}
