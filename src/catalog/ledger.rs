//! The tables in which migration tools record the applied versions.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::ledger_table::{self, Columns, LedgerTable};
use super::relations::RelationName;
use crate::sql_error;

/// How to read a tool's ledger.
#[derive(Debug)]
pub(crate) struct LedgerLayout {
    pub(crate) table: &'static str,
    pub(crate) columns: Columns,
    /// An expression for the latest version among the applied rows.
    pub(crate) latest: &'static str,
    /// The condition for rows of applied versions. The row is `ledger`, and `{table}` stands for the
    /// table.
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
    /// The claim of a table that is known to be a tool's ledger. The connection must be in a
    /// transaction.
    pub(crate) async fn of_table(
        connection: &mut PgConnection,
        ledger: &LedgerLayout,
        table: &RelationName,
    ) -> Result<Self, sqlx::Error> {
        let mut claim = Self::unread(table);
        let rows = rows_of(connection, &[ledger.query(0, table)]).await?;
        if let Some(row) = rows.unwrap_or_default().first() {
            claim.fill(row)?;
        }
        Ok(claim)
    }

    fn unread(table: &RelationName) -> Self {
        Self {
            table: table.to_string(),
            latest: None,
            applied: None,
            dirty: None,
        }
    }

    /// Takes the values from a row of [`LedgerLayout::query`].
    fn fill(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        let applied: String = row.try_get(2)?;
        self.latest = row.try_get(1)?;
        self.applied = applied.parse().ok();
        self.dirty = row.try_get(3)?;
        Ok(())
    }

    /// The claim of the ledger that holds the rows. The connection must be in a transaction. See
    /// [`read_all`](Self::read_all).
    pub(crate) async fn read(
        connection: &mut PgConnection,
        ledgers: &[&LedgerLayout],
    ) -> Result<Option<Self>, sqlx::Error> {
        Ok(Self::read_all(connection, ledgers)
            .await?
            .into_iter()
            .next())
    }

    /// The claims of all ledgers. The connection must be in a transaction.
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
                let claim = Self::unread(&table.name);
                (table.layout, table, claim)
            })
            .collect();
        let parts: Vec<String> = found
            .iter()
            .enumerate()
            .filter(|(_, (_, table, _))| table.is_readable && table.is_recognised)
            .map(|(number, (layout, table, _))| ledgers[*layout].query(number, &table.name))
            .collect();
        let together = rows_of(connection, &parts).await?;
        let rows = if let Some(rows) = together {
            rows
        } else {
            // One refused table must not hide the others.
            let mut rows = Vec::new();
            for part in parts {
                rows.extend(rows_of(connection, &[part]).await?.into_iter().flatten());
            }
            rows
        };
        for row in &rows {
            let number: String = row.try_get(0)?;
            let found = number.parse().ok().and_then(|it: usize| found.get_mut(it));
            if let Some((_, _, claim)) = found {
                claim.fill(row)?;
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
    fn query(&self, number: usize, table: &RelationName) -> String {
        let (quoted, latest) = (table.quoted(), self.latest);
        let counts = self.counts.replace("{table}", &quoted);
        let dirty = self.dirty.map_or_else(
            || "null::text".to_owned(),
            |dirty| format!("(select ({dirty})::text from {quoted})"),
        );
        format!(
            "select {number}::text, ({latest})::text, count(*)::text, {dirty} \
             from {quoted} ledger where {counts}"
        )
    }
}

/// The rows of these queries; `None` if the server refuses one.
///
/// The role may see the table in the catalog and not be allowed to read a column, or another tool
/// uses the name, with columns of other types. The savepoint keeps the transaction usable.
async fn rows_of(
    connection: &mut PgConnection,
    parts: &[String],
) -> Result<Option<Vec<PgRow>>, sqlx::Error> {
    if parts.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let query = format!(
        "savepoint ebbtide_ledgers; {}; release savepoint ebbtide_ledgers",
        parts.join(" union all ")
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(query))
        .fetch_all(&mut *connection)
        .await;
    match rows {
        Err(error) if sql_error::refusal(&error).is_some() => {
            sqlx::raw_sql(
                "rollback to savepoint ebbtide_ledgers; release savepoint ebbtide_ledgers",
            )
            .execute(connection)
            .await?;
            Ok(None)
        }
        rows => rows.map(Some),
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
