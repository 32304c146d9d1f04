//! Tables, sequences, triggers, enums and extensions of a database.

use std::collections::BTreeMap;
use std::fmt;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use crate::guard_names::{SCHEMA, own};
use crate::names::Ident;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// A relation's schema and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RelationName {
    pub(crate) schema: String,
    pub(crate) name: String,
}

impl RelationName {
    /// The name in a row of a query: the schema in this column, the name in the next one.
    pub(crate) fn of_row(row: &PgRow, schema: usize) -> Result<Self> {
        Ok(Self {
            schema: row.try_get(schema)?,
            name: row.try_get(schema + 1)?,
        })
    }

    /// The name as SQL, with schema and quotes.
    pub(crate) fn quoted(&self) -> String {
        format!("{}.{}", Ident(&self.schema), Ident(&self.name))
    }
}

/// The name as a person writes it: without the schema if that is `public`.
impl fmt::Display for RelationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema == "public" {
            f.write_str(&self.name)
        } else {
            write!(f, "{}.{}", self.schema, self.name)
        }
    }
}

/// The user's ordinary and partitioned tables.
pub(crate) async fn tables(connection: &mut PgConnection) -> Result<Vec<RelationName>> {
    relations(connection, "'r', 'p'").await
}

/// The names of all relations outside of PostgreSQL's own schemas, also of views, and of those that
/// belong to extensions.
pub(crate) async fn names_of_relations(connection: &mut PgConnection) -> Result<Vec<RelationName>> {
    let query = format!(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relpersistence <> 't' \
         and n.nspname not in ('pg_catalog', 'information_schema', '{SCHEMA}')"
    );
    let rows = sqlx::query(AssertSqlSafe(query))
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| RelationName::of_row(row, 0))
        .collect()
}

/// The user's sequences, those of identity and serial columns included.
pub(crate) async fn sequences(connection: &mut PgConnection) -> Result<Vec<RelationName>> {
    relations(connection, "'S'").await
}

/// The user's relations of some kinds. `kinds` are quoted letters of `pg_class.relkind`
/// (<https://www.postgresql.org/docs/current/catalog-pg-class.html>).
async fn relations(
    connection: &mut PgConnection,
    kinds: &'static str,
) -> Result<Vec<RelationName>> {
    let query = format!(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where c.relkind in ({kinds}) and c.relpersistence <> 't' \
         and n.nspname not in ('pg_catalog', 'information_schema', '{SCHEMA}') and n.nspname not like 'pg\\_toast%' \
         and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') \
         order by 1, 2"
    );
    let rows = sqlx::query(AssertSqlSafe(query))
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| RelationName::of_row(row, 0))
        .collect()
}

/// A trigger or rule of the user that fires for `session_replication_role = replica` too, where
/// ordinary ones do not
/// (<https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SESSION-REPLICATION-ROLE>).
pub(crate) async fn always_firing_trigger(connection: &mut PgConnection) -> Result<Option<String>> {
    sqlx::query_scalar(concat!(
        "select tgname::text from pg_trigger t join pg_class c on c.oid = t.tgrelid \
         where not tgisinternal and tgenabled in ('R', 'A') and c.relnamespace <> '",
        own!(),
        "'::regnamespace \
         union all select rulename::text from pg_rewrite where ev_type <> '1' and ev_enabled in ('R', 'A') limit 1",
    ))
    .fetch_optional(connection)
    .await
}

/// Enum types, each with its labels in order.
pub(crate) async fn enums(connection: &mut PgConnection) -> Result<BTreeMap<String, Vec<String>>> {
    let rows = sqlx::query(
        "select n.nspname::text, t.typname::text, array_agg(e.enumlabel::text order by e.enumsortorder) from pg_type t \
         join pg_enum e on e.enumtypid = t.oid join pg_namespace n on n.oid = t.typnamespace group by 1, 2",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok((RelationName::of_row(row, 0)?.to_string(), row.try_get(2)?)))
        .collect()
}

/// The installed version of an extension. `None` if it is not installed.
pub(crate) async fn installed_extension(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<String>> {
    sqlx::query_scalar("select extversion from pg_extension where extname = $1")
        .bind(name)
        .fetch_optional(connection)
        .await
}

/// The installed extensions with their versions, except `plpgsql`, which every database has.
pub(crate) async fn installed_extensions(
    connection: &mut PgConnection,
) -> Result<BTreeMap<String, String>> {
    let query = "select extname::text, extversion from pg_extension where extname <> 'plpgsql'";
    let rows = sqlx::query(query).fetch_all(connection).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

/// The version that `CREATE EXTENSION` would install. `None` if the server lacks the extension's
/// files.
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
