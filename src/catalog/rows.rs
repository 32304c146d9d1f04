//! Reads the rows of tables without changing the files of the tables.
//!
//! A scan of a page that is nearly full removes the dead rows from it (`heap_page_prune_opt` in
//! PostgreSQL's `heapam.c`). The next insert then takes their place, instead of the end of the
//! table. A database that was only migrated has not been scanned, so a test would see its rows in
//! another order. A fetch by `ctid` removes nothing.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::relations::RelationName;
use crate::guard_names::SCHEMA;
use crate::names::Literal;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// The largest table, in bytes, whose rows are always fetched by `ctid`. A larger table is scanned
/// if the server has counted no update and no delete: a fetch costs several times as much as a
/// scan.
const MAX_FETCHED_BYTES: u32 = 2 << 20;

/// A relation with rows of its own, which a test could change.
#[derive(Debug, Clone)]
pub(crate) struct RowHolder {
    pub(crate) name: RelationName,
    pub(crate) rows: i64,
    /// Columns that an INSERT may name, in order: all but generated ones.
    pub(crate) columns: Vec<String>,
    /// Whether a reset may truncate and refill it: not a materialized view, and not a table of an
    /// extension.
    pub(crate) is_restorable: bool,
    /// Storage parameters, as in the `WITH` clause.
    pub(crate) storage: Option<String>,
}

/// The SQL condition for the user's relations with rows of their own, on `pg_class c` and
/// `pg_namespace n`.
pub(super) fn holds_rows() -> String {
    format!(
        "c.relkind in ('r', 'm') and c.relpersistence <> 't' and c.relispopulated \
         and n.nspname not in ('pg_catalog', 'information_schema', '{SCHEMA}') and n.nspname not like 'pg\\_toast%'"
    )
}

/// Every table with storage of its own, and every materialized view, those of extensions included.
pub(crate) async fn row_holders(connection: &mut PgConnection) -> Result<Vec<RowHolder>> {
    let query = format!(
        "select n.nspname::text, c.relname::text, \
         c.relkind = 'r' and not exists (select from pg_depend d \
            where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'), \
         coalesce((select array_agg(a.attname::text order by a.attnum) from pg_attribute a \
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''), '{{}}'), \
         array_to_string(c.reloptions, ', ') \
         from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where {} order by 1, 2",
        holds_rows()
    );
    let rows = sqlx::query(AssertSqlSafe(query))
        .fetch_all(&mut *connection)
        .await?;
    let mut holders = Vec::new();
    for row in &rows {
        let name = RelationName::of_row(row, 0)?;
        holders.push(RowHolder {
            name,
            rows: 0,
            columns: row.try_get(3)?,
            is_restorable: row.try_get(2)?,
            storage: row.try_get(4)?,
        });
    }
    let names: Vec<String> = holders.iter().map(|holder| holder.name.quoted()).collect();
    let counts = count_rows(connection, &names, "false").await?;
    for (holder, rows) in holders.iter_mut().zip(counts) {
        holder.rows = rows;
    }
    Ok(holders)
}

/// Tables of up to [`MAX_FETCHED_BYTES`] with a row that contains the text. The session must be in
/// a transaction.
pub(super) async fn tables_with_text(
    connection: &mut PgConnection,
    text: &str,
) -> Result<Vec<String>> {
    // Type categories: strings, arrays, user-defined (JSON among them) and composite types.
    let query = format!(
        "select format('%I.%I', n.nspname, c.relname), string_agg(quote_ident(a.attname), ', ' order by a.attnum) \
         from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_am on pg_am.oid = c.relam \
         join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped \
         join pg_type t on t.oid = a.atttypid and t.typcategory in ('S', 'A', 'U', 'C') \
         where {} and amname = 'heap' and pg_relation_size(c.oid) between 1 and {MAX_FETCHED_BYTES} \
         group by n.nspname, c.relname, c.oid order by 1",
        holds_rows()
    );
    let tables: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(query))
        .fetch_all(&mut *connection)
        .await?;
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::raw_sql(DISABLE_SEQUENTIAL_SCANS)
        .execute(&mut *connection)
        .await?;
    let parts = tables.iter().map(|(table, columns)| {
        let (name, rows) = (Literal(table), every_row(table, columns));
        let text = Literal(text);
        format!("select {name} where exists (select from {rows} where strpos((_ebbtide_fetched.*)::text, {text}) > 0)")
    });
    let query = parts.collect::<Vec<_>>().join(" union all ");
    sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_all(connection)
        .await
}

/// Exact row counts. The rows of partitions, and of tables that inherit, are included.
pub(crate) async fn row_counts(
    connection: &mut PgConnection,
    tables: &[RelationName],
) -> Result<BTreeMap<String, u64>> {
    let names: Vec<String> = tables.iter().map(RelationName::quoted).collect();
    let counts = count_rows(connection, &names, "true").await?;
    Ok(tables
        .iter()
        .map(ToString::to_string)
        .zip(counts.into_iter().map(i64::unsigned_abs))
        .collect())
}

/// A `FROM` clause that fetches every row of a table by `ctid`, in physical order. The session must
/// have set [`DISABLE_SEQUENTIAL_SCANS`].
///
/// The rows are fetched page by page: for a large table, one array with the `ctid` of every row
/// would not fit into memory. `OFFSET 0` keeps the planner from flattening the subquery into a
/// join, for which it would scan. The names begin with `_ebbtide`, so that no column of the table
/// is likely to have one.
pub(crate) fn every_row(table: &str, columns: &str) -> String {
    format!(
        "generate_series(0, pg_relation_size({}) / current_setting('block_size')::int - 1) _ebbtide_pages(_ebbtide_page), \
         lateral (select {columns} from only {table} where ctid = any (array(\
            select format('(%s,%s)', _ebbtide_page, _ebbtide_item)::tid \
            from generate_series(1, current_setting('block_size')::int / 28) _ebbtide_items(_ebbtide_item))) offset 0) \
         _ebbtide_fetched",
        Literal(table)
    )
}

/// The largest table, in pages, for which [`every_row_repeatedly`] lists every `ctid`.
const MAX_LISTED_PAGES: i64 = 4;

/// Like [`every_row`], for a table that is read again and again. `bytes` is its size, `page` the
/// size of a page. For a small table the clause lists every possible `ctid`, which the planner
/// handles faster.
pub(crate) fn every_row_repeatedly(table: &str, columns: &str, bytes: i64, page: i64) -> String {
    let pages = bytes / page;
    if pages > MAX_LISTED_PAGES {
        return every_row(table, columns);
    }
    let ctids: Vec<String> = (0..pages)
        .flat_map(|page_number| {
            (1..=page / 28).map(move |item| format!("\"({page_number},{item})\""))
        })
        .collect();
    format!(
        "only {table} where ctid = any ('{{{}}}'::tid[])",
        ctids.join(",")
    )
}

/// The statement before [`every_row`]. Without it, the planner scans a small table in spite of the
/// `ctid`s.
pub(crate) const DISABLE_SEQUENTIAL_SCANS: &str = "set local enable_seqscan = off";

/// The number of rows of each relation. `descend` is an SQL condition: whether the rows of
/// partitions and inheriting tables count too.
async fn count_rows(
    connection: &mut PgConnection,
    names: &[String],
    descend: &'static str,
) -> Result<Vec<i64>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    // Only for the table access method `heap` is it known that a fetch by `ctid` changes nothing.
    let tree = format!(
        "with recursive tree(n, relation) as (select n, name::regclass::oid from unnest($1) with ordinality t(name, n) \
         union all select n, inhrelid from tree join pg_inherits on inhparent = relation where {descend}) \
         select tree.n, format('%I.%I', nspname, relname), relkind in ('r', 'm') and amname = 'heap' \
            and (pg_relation_size(c.oid) < {MAX_FETCHED_BYTES} or pg_stat_get_tuples_updated(c.oid) > 0 \
                or pg_stat_get_tuples_deleted(c.oid) > 0 or pg_stat_get_dead_tuples(c.oid) > 0) \
         from tree join pg_class c on c.oid = relation join pg_namespace s on s.oid = relnamespace \
         left join pg_am on pg_am.oid = relam where relkind in ('r', 'm', 'f')"
    );
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(DISABLE_SEQUENTIAL_SCANS)
        .execute(&mut *transaction)
        .await?;
    let mut parts = Vec::new();
    for row in sqlx::query(AssertSqlSafe(tree))
        .bind(names)
        .fetch_all(&mut *transaction)
        .await?
    {
        let (n, name, is_fetched): (i64, String, Option<bool>) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let from = if is_fetched == Some(true) {
            every_row(&name, "")
        } else {
            format!("only {name}")
        };
        parts.push(format!("select {n}::bigint, count(*) from {from}"));
    }
    let mut counts = vec![0; names.len()];
    if !parts.is_empty() {
        for row in sqlx::query(AssertSqlSafe(parts.join(" union all ")))
            .fetch_all(&mut *transaction)
            .await?
        {
            let (n, rows): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            counts[usize::try_from(n - 1).unwrap_or_default()] += rows;
        }
    }
    transaction.rollback().await?;
    Ok(counts)
}
