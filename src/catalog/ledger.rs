//! The tables in which migration tools record the applied versions.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::ledger_table::{self, Columns, LedgerTable};
use crate::sql_error;

/// How to read a tool's ledger.
#[derive(Debug)]
pub(crate) struct LedgerLayout {
    pub(crate) table: &'static str,
    pub(crate) columns: Columns,
    /// An expression for the latest version among the applied rows.
    pub(crate) latest: &'static str,
    /// The condition for rows of applied versions.
    pub(crate) counts: &'static str,
    /// An expression over all rows for the first version that started and did not succeed. Tools
    /// without one leave no row of such a version.
    pub(crate) dirty: Option<&'static str>,
}

/// The content of a migration ledger. The database may differ from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LedgerClaim {
    /// The ledger, such as `_sqlx_migrations`.
    pub table: String,
    /// The latest version; `None` if nothing was applied, or if the ledger cannot be read.
    pub latest: Option<String>,
    /// How many versions were applied. `None` if the role may not read the ledger, or if another
    /// tool uses a table of that name. Alembic records the latest versions only.
    pub applied: Option<u64>,
    /// The first version that started and was never marked successful.
    pub dirty: Option<String>,
}

impl LedgerClaim {
    /// The claim of the ledger that holds the rows. See [`read_all`](Self::read_all).
    pub(crate) async fn read(
        connection: &mut PgConnection,
        ledgers: &[&LedgerLayout],
    ) -> Result<Option<Self>, sqlx::Error> {
        Ok(Self::read_all(connection, ledgers)
            .await?
            .into_iter()
            .next())
    }

    /// The claims of all ledgers. Runs at most two queries; if the second fails, the transaction is
    /// aborted.
    ///
    /// A database can have several: a migration can move a tool's ledger to another schema and
    /// leave an old copy, and each service can have a schema of its own. Ledgers with rows come
    /// first. Then the order of `ledgers` counts, then the number of rows, then whether the
    /// session's `search_path` finds the table.
    pub(crate) async fn read_all(
        connection: &mut PgConnection,
        ledgers: &[&LedgerLayout],
    ) -> Result<Vec<Self>, sqlx::Error> {
        let known: Vec<(&str, Columns)> = ledgers
            .iter()
            .map(|ledger| (ledger.table, ledger.columns))
            .collect();
        let tables = ledger_table::find(&mut *connection, &known).await?;
        let mut found: Vec<(usize, LedgerTable, Self)> = tables
            .into_iter()
            .map(|table| {
                let claim = Self {
                    table: table.name.to_string(),
                    latest: None,
                    applied: None,
                    dirty: None,
                };
                (table.layout, table, claim)
            })
            .collect();
        let parts: Vec<String> = found
            .iter()
            .enumerate()
            .filter(|(_, (_, table, _))| table.is_readable && table.is_recognised)
            .map(|(number, (layout, table, _))| ledgers[*layout].query(number, table))
            .collect();
        if !parts.is_empty() {
            let query = parts.join(" union all ");
            match sqlx::raw_sql(AssertSqlSafe(query))
                .fetch_all(connection)
                .await
            {
                Ok(rows) => {
                    for row in &rows {
                        let number: String = row.try_get(0)?;
                        let applied: String = row.try_get(2)?;
                        let Some((_, _, claim)) =
                            number.parse().ok().and_then(|it: usize| found.get_mut(it))
                        else {
                            continue;
                        };
                        claim.latest = row.try_get(1)?;
                        claim.applied = applied.parse().ok();
                        claim.dirty = row.try_get(3)?;
                    }
                }
                // The role may see the table in the catalog and not be allowed to read a column.
                // Or another tool uses the name, with columns of other types.
                Err(error) if sql_error::refusal(&error).is_some() => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_by_key(|(layout, table, claim)| {
            let rows = claim.applied.unwrap_or(0);
            (
                rows == 0,
                claim.applied.is_none(),
                *layout,
                std::cmp::Reverse(rows),
                !table.is_visible,
                table.name.clone(),
            )
        });
        Ok(found.into_iter().map(|(_, _, claim)| claim).collect())
    }
}

impl LedgerLayout {
    /// Selects the number, and the claim of one table with this layout.
    fn query(&self, number: usize, table: &LedgerTable) -> String {
        let (quoted, latest, counts) = (table.name.quoted(), self.latest, self.counts);
        let dirty = self.dirty.map_or_else(
            || "null::text".to_owned(),
            |dirty| format!("(select ({dirty})::text from {quoted})"),
        );
        format!(
            "select {number}::text, ({latest})::text, count(*)::text, {dirty} \
             from {quoted} where {counts}"
        )
    }
}

/// The names of the tables that belong to migration tools, as [`RelationName`] prints them.
///
/// [`RelationName`]: super::RelationName
pub(crate) async fn ledger_names(
    connection: &mut PgConnection,
    known: &[(&'static str, Columns)],
) -> Result<BTreeSet<String>, sqlx::Error> {
    let tables = ledger_table::find(connection, known).await?;
    let recognised = tables.into_iter().filter(|table| table.is_recognised);
    Ok(recognised.map(|table| table.name.to_string()).collect())
}

impl fmt::Display for LedgerClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = &self.table;
        match (self.applied, &self.latest) {
            (None, _) => write!(f, "{table} cannot be read"),
            (Some(applied), Some(latest)) => {
                write!(f, "{table} claims {applied} applied, the latest {latest}")
            }
            (Some(_), None) => write!(f, "{table} claims that nothing was applied"),
        }?;
        match &self.dirty {
            Some(version) => write!(
                f,
                "; {version} is dirty: it started and was never marked successful"
            ),
            None => Ok(()),
        }
    }
}
