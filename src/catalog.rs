//! Reads `pg_catalog` into plain values.
//!
//! Our own schema and what belongs to extensions is left out everywhere.

use std::collections::BTreeMap;
use std::fmt;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use crate::names::Ident;

/// The schema that holds ebbtide's own objects in a template and its copies.
pub(crate) const OWN_SCHEMA: &str = "_ebbtide";

type Result<T> = std::result::Result<T, sqlx::Error>;

/// A relation's schema and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RelationName {
    pub(crate) schema: String,
    pub(crate) name: String,
}

impl RelationName {
    /// Quoted for SQL.
    pub(crate) fn quoted(&self) -> String {
        format!("{}.{}", Ident(&self.schema), Ident(&self.name))
    }
}

/// As a person writes it: without the schema where that is `public`.
impl fmt::Display for RelationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema == "public" { f.write_str(&self.name) } else { write!(f, "{}.{}", self.schema, self.name) }
    }
}

/// Ordinary and partitioned tables of the user.
pub(crate) async fn tables(connection: &mut PgConnection) -> Result<Vec<RelationName>> {
    relations(connection, "'r', 'p'").await
}

/// Sequences, those of identity and serial columns included.
pub(crate) async fn sequences(connection: &mut PgConnection) -> Result<Vec<RelationName>> {
    relations(connection, "'S'").await
}

/// `kinds` are quoted letters of `pg_class.relkind`
/// (<https://www.postgresql.org/docs/current/catalog-pg-class.html>).
async fn relations(connection: &mut PgConnection, kinds: &'static str) -> Result<Vec<RelationName>> {
    let query = format!(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where c.relkind in ({kinds}) and c.relpersistence <> 't' \
         and n.nspname not in ('pg_catalog', 'information_schema', '{OWN_SCHEMA}') and n.nspname not like 'pg\\_toast%' \
         and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') \
         order by 1, 2"
    );
    let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(connection).await?;
    rows.iter().map(|row| Ok(RelationName { schema: row.try_get(0)?, name: row.try_get(1)? })).collect()
}

/// Exact row counts, in one query.
pub(crate) async fn row_counts(
    connection: &mut PgConnection,
    tables: &[RelationName],
) -> Result<BTreeMap<String, u64>> {
    if tables.is_empty() {
        return Ok(BTreeMap::new());
    }
    let counts: Vec<String> =
        tables.iter().enumerate().map(|(n, table)| format!("select {n}, count(*) from {}", table.quoted())).collect();
    let rows = sqlx::query(AssertSqlSafe(counts.join(" union all "))).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let number: i32 = row.try_get(0)?;
            let count: i64 = row.try_get(1)?;
            let table = &tables[usize::try_from(number).unwrap_or_default()];
            Ok((table.to_string(), count.unsigned_abs()))
        })
        .collect()
}

/// Enum types and their labels in order.
pub(crate) async fn enums(connection: &mut PgConnection) -> Result<BTreeMap<String, Vec<String>>> {
    let rows = sqlx::query(
        "select n.nspname::text, t.typname::text, array_agg(e.enumlabel::text order by e.enumsortorder) from pg_type t \
         join pg_enum e on e.enumtypid = t.oid join pg_namespace n on n.oid = t.typnamespace group by 1, 2",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok((RelationName { schema: row.try_get(0)?, name: row.try_get(1)? }.to_string(), row.try_get(2)?)))
        .collect()
}

/// The version that an extension is installed with, if it is.
pub(crate) async fn installed_extension(connection: &mut PgConnection, name: &str) -> Result<Option<String>> {
    sqlx::query_scalar("select extversion from pg_extension where extname = $1")
        .bind(name)
        .fetch_optional(connection)
        .await
}

/// The version that `CREATE EXTENSION` would install, if the server has the extension's files.
pub(crate) async fn available_extension(connection: &mut PgConnection, name: &str) -> Result<Option<String>> {
    let query = "select default_version from pg_available_extensions where name = $1";
    sqlx::query_scalar(query).bind(name).fetch_optional(connection).await
}
