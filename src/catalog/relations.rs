//! Relations, rows and extensions, as far as provisioning and lanes want to know about them.

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
        if self.schema == "public" {
            f.write_str(&self.name)
        } else {
            write!(f, "{}.{}", self.schema, self.name)
        }
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
async fn relations(
    connection: &mut PgConnection,
    kinds: &'static str,
) -> Result<Vec<RelationName>> {
    let query = format!(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where c.relkind in ({kinds}) and c.relpersistence <> 't' \
         and n.nspname not in ('pg_catalog', 'information_schema', '{OWN_SCHEMA}') and n.nspname not like 'pg\\_toast%' \
         and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') \
         order by 1, 2"
    );
    let rows = sqlx::query(AssertSqlSafe(query))
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(RelationName {
                schema: row.try_get(0)?,
                name: row.try_get(1)?,
            })
        })
        .collect()
}

/// A trigger or rule of the user's that fires even where ordinary ones are told to rest
/// (<https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SESSION-REPLICATION-ROLE>).
pub(crate) async fn unstoppable_trigger(connection: &mut PgConnection) -> Result<Option<String>> {
    sqlx::query_scalar(
        "select tgname::text from pg_trigger t join pg_class c on c.oid = t.tgrelid \
         where not tgisinternal and tgenabled in ('R', 'A') and c.relnamespace <> '_ebbtide'::regnamespace \
         union all select rulename::text from pg_rewrite where ev_type <> '1' and ev_enabled in ('R', 'A') limit 1",
    )
    .fetch_optional(connection)
    .await
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
        .map(|row| {
            Ok((
                RelationName {
                    schema: row.try_get(0)?,
                    name: row.try_get(1)?,
                }
                .to_string(),
                row.try_get(2)?,
            ))
        })
        .collect()
}

/// The version that an extension is installed with, if it is.
pub(crate) async fn installed_extension(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<String>> {
    sqlx::query_scalar("select extversion from pg_extension where extname = $1")
        .bind(name)
        .fetch_optional(connection)
        .await
}

/// Every extension with its version, but `plpgsql`, which is in every database.
pub(crate) async fn installed_extensions(
    connection: &mut PgConnection,
) -> Result<BTreeMap<String, String>> {
    let query = "select extname::text, extversion from pg_extension where extname <> 'plpgsql'";
    let rows = sqlx::query(query).fetch_all(connection).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

/// The version that `CREATE EXTENSION` would install, if the server has the extension's files.
pub(crate) async fn available_extension(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<String>> {
    let query = "select default_version from pg_available_extensions where name = $1";
    sqlx::query_scalar(query)
        .bind(name)
        .fetch_optional(connection)
        .await
}
