//! What migration tools have written down about a database.

use std::fmt;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::relations::RelationName;
use crate::names::Literal;
use crate::sql_error;

/// sqlx's own ledger (<https://docs.rs/sqlx/latest/sqlx/migrate/>), and ours.
pub(crate) const SQLX_LEDGER: &str = "_sqlx_migrations";

/// What a tool's ledger looks like.
struct Layout {
    table: &'static str,
    /// The latest version among the rows that count.
    latest: &'static str,
    counts: &'static str,
    /// Rows of what was begun and did not succeed. Other tools leave no row behind then.
    dirty: Option<&'static str>,
}

const LEDGERS: [Layout; 5] = [
    Layout {
        table: SQLX_LEDGER,
        latest: "max(version)",
        counts: "success",
        dirty: Some("not success"),
    },
    // It holds the heads only.
    Layout {
        table: "alembic_version",
        latest: "string_agg(version_num, ', ' order by version_num)",
        counts: "true",
        dirty: None,
    },
    Layout {
        table: "__diesel_schema_migrations",
        latest: "max(version)",
        counts: "true",
        dirty: None,
    },
    Layout {
        table: "refinery_schema_history",
        latest: "max(version)",
        counts: "true",
        dirty: None,
    },
    Layout {
        table: "flyway_schema_history",
        latest: "(array_agg(version order by installed_rank desc))[1]",
        counts: "success and version is not null",
        dirty: Some("not success"),
    },
];

/// Whether a table, displayed as [`RelationName`] does, is a migration tool's own.
pub(crate) fn is_ledger(table: &str) -> bool {
    let name = table.rsplit('.').next().unwrap_or(table);
    LEDGERS.iter().any(|ledger| ledger.table == name)
}

/// What a migration ledger says about its database. It need not be true.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerClaim {
    /// The ledger, such as `_sqlx_migrations`.
    pub table: String,
    /// The latest version; none if nothing was applied, or if the ledger cannot be read.
    pub latest: Option<String>,
    /// How many versions were applied; none if the role may not read the ledger, or it is another tool's. Alembic
    /// writes down the latest ones only.
    pub applied: Option<u64>,
    /// The first version that was begun and is not said to have succeeded.
    pub dirty: Option<String>,
}

impl LedgerClaim {
    /// The claim of the first ledger that there is. At most two queries, of which the last may end the transaction.
    pub(crate) async fn read(connection: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        let names: Vec<String> = LEDGERS
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
        let Some(layout) = LEDGERS.iter().find(|ledger| ledger.table == table.name) else {
            return Ok(None);
        };
        let (quoted, Layout { latest, counts, .. }) = (table.quoted(), layout);
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
            // The role may see that the table is there and not read it, or another tool's table bears the name.
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
                "; {version} is dirty: it was begun, and is not said to have succeeded"
            ),
            None => Ok(()),
        }
    }
}
