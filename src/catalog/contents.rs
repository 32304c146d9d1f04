//! What a database contains beside its schema: rows, positions of sequences, and large objects.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::relations::RelationName;
use super::rows::holds_rows;
use crate::guard_names::{BASELINE, SCHEMA};
use crate::names::Literal;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// The relations with rows of their own, those of extensions included.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Relations {
    /// Tables, partitions included, quoted.
    pub(crate) tables: Vec<String>,
    /// Materialized views with contents, quoted.
    pub(crate) views: Vec<String>,
}

impl Relations {
    pub(crate) async fn read(connection: &mut PgConnection) -> Result<Self> {
        let query = format!(
            "select n.nspname::text, c.relname::text, c.relkind = 'm' \
             from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
             where {} order by 1, 2",
            holds_rows()
        );
        let rows = sqlx::query(AssertSqlSafe(query))
            .fetch_all(connection)
            .await?;
        let mut relations = Self::default();
        for row in &rows {
            let name = RelationName::of_row(row, 0)?.quoted();
            if row.try_get(2)? {
                relations.views.push(name);
            } else {
                relations.tables.push(name);
            }
        }
        Ok(relations)
    }
}

/// A text that is equal in a database and in a new copy of its template, if no row of a catalog was
/// written since. Statistics and large objects are left out.
///
/// # Errors
/// The server refuses the query, for example because a test has dropped ebbtide's schema.
pub(crate) async fn catalog_state(connection: &mut PgConnection) -> Result<String> {
    let names = "select relname::text from pg_catalog.pg_class \
                 where relnamespace = 'pg_catalog'::regnamespace and relkind = 'r' \
                 and not relisshared and relname not in ('pg_statistic', 'pg_statistic_ext_data', \
                 'pg_largeobject', 'pg_largeobject_metadata') order by 1";
    let names: Vec<String> = sqlx::query_scalar(names)
        .fetch_all(&mut *connection)
        .await?;
    let states = names.iter().map(|name| {
        format!(
            "(select concat(count(*), '/', count(*) filter (where age(xmin) < oldest)) \
             from pg_catalog.{name})"
        )
    });
    let query = format!(
        "select concat_ws(' ', {}) from (select age(changed) as oldest from {BASELINE}) b",
        states.collect::<Vec<_>>().join(", ")
    );
    sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_one(connection)
        .await
}

/// A statement that sets the sequences of a copy to their present values. `None` if there are no
/// sequences.
///
/// A sequence has no snapshot: its value is that of this moment, also if the transaction that
/// moved it is still open.
pub(crate) async fn sequence_positions(connection: &mut PgConnection) -> Result<Option<String>> {
    let names = format!(
        "select n.nspname::text, c.relname::text from pg_catalog.pg_class c \
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         where c.relkind = 'S' and c.relpersistence <> 't' \
         and n.nspname not in ('pg_catalog', 'information_schema', '{SCHEMA}') order by 1, 2"
    );
    let rows = sqlx::query(AssertSqlSafe(names))
        .fetch_all(&mut *connection)
        .await?;
    let mut queries = Vec::new();
    for row in &rows {
        let name = RelationName::of_row(row, 0)?.quoted();
        queries.push(format!(
            "select format('(%L::regclass, %s::int8, %L::bool)', {}::text, last_value, is_called) \
             from {name}",
            Literal(&name)
        ));
    }
    if queries.is_empty() {
        return Ok(None);
    }
    let query = queries.join(" union all ");
    let values: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_all(connection)
        .await?;
    Ok(Some(format!(
        "select count(pg_catalog.setval(s, v, c)) from (values {}) t(s, v, c)",
        values.join(", ")
    )))
}

/// The columns of `pg_largeobject` with the contents of all large objects.
pub(crate) const LARGE_OBJECT_PAGES: &str = "pg_catalog.pg_largeobject (loid, pageno, data)";

/// Statements that create the large objects again, with their owners, privileges, comments and
/// labels, and without contents. Only a superuser may run them.
pub(crate) async fn large_objects(connection: &mut PgConnection) -> Result<Vec<String>> {
    let query = "
        with m as (select m.* from pg_catalog.pg_largeobject_metadata m)
        select statement from (
            select 1, oid, format('select pg_catalog.lo_create(%s)', oid) from m
            union all select 2, oid, format('alter large object %s owner to %I', oid,
                pg_catalog.pg_get_userbyid(lomowner)) from m
            union all select 3, oid, format(
                'update pg_catalog.pg_largeobject_metadata set lomacl = %L where oid = %s',
                lomacl::text, oid) from m where lomacl is not null
            union all select 4, objoid, format('comment on large object %s is %L', objoid,
                description) from pg_catalog.pg_description
                where classoid = 'pg_catalog.pg_largeobject'::regclass
            union all select 5, objoid, format('security label for %I on large object %s is %L',
                provider, objoid, label) from pg_catalog.pg_seclabel
                where classoid = 'pg_catalog.pg_largeobject'::regclass
        ) t(step, object, statement) order by step, object";
    sqlx::query_scalar(query).fetch_all(connection).await
}
