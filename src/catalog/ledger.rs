//! The tables in which migration tools record the applied versions.

use std::fmt;

use serde::Serialize;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::relations::RelationName;
use crate::names::Literal;
use crate::sql_error;

/// How to read a tool's ledger.
#[derive(Debug)]
pub(crate) struct LedgerLayout {
    pub(crate) table: &'static str,
    /// An expression for the latest version among the applied rows.
    pub(crate) latest: &'static str,
    /// The condition for rows of applied versions.
    pub(crate) counts: &'static str,
    /// The condition for rows of versions that started and did not succeed. Tools without one leave
    /// no row of such a version.
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
    /// Reads the first of the ledgers that exists. Runs at most two queries; if the second fails,
    /// the transaction is aborted.
    pub(crate) async fn read(
        connection: &mut PgConnection,
        ledgers: &[&LedgerLayout],
    ) -> Result<Option<Self>, sqlx::Error> {
        if ledgers.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> = ledgers
            .iter()
            .map(|ledger| Literal(ledger.table).to_string())
            .collect();
        let names = names.join(", ");
        let find = format!(
            "select n.nspname::text, c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace \
             where c.relkind = 'r' and c.relname in ({names}) order by array_position(array[{names}], c.relname::text), 1 \
             limit 1"
        );
        let Some(row) = sqlx::raw_sql(AssertSqlSafe(find))
            .fetch_optional(&mut *connection)
            .await?
        else {
            return Ok(None);
        };
        let table = RelationName {
            schema: row.try_get(0)?,
            name: row.try_get(1)?,
        };
        let Some(layout) = ledgers.iter().find(|ledger| ledger.table == table.name) else {
            return Ok(None);
        };
        let (quoted, latest, counts) = (table.quoted(), layout.latest, layout.counts);
        let dirty = layout.dirty.map_or_else(
            || "null".to_owned(),
            |dirty| format!("(select min(version)::text from {quoted} where {dirty})"),
        );
        let query = format!(
            "select ({latest})::text, count(*)::text, {dirty} from {quoted} where {counts}"
        );
        let claim = Self {
            table: table.to_string(),
            latest: None,
            applied: None,
            dirty: None,
        };
        match sqlx::raw_sql(AssertSqlSafe(query))
            .fetch_one(connection)
            .await
        {
            Ok(row) => {
                let applied: String = row.try_get(1)?;
                Ok(Some(Self {
                    latest: row.try_get(0)?,
                    applied: applied.parse().ok(),
                    dirty: row.try_get(2)?,
                    ..claim
                }))
            }
            // The role may see the table in the catalog and not be allowed to read it. Or another
            // tool uses the name.
            Err(error) if sql_error::refusal(&error).is_some() => Ok(Some(claim)),
            Err(error) => Err(error),
        }
    }
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
