//! Makes a lane equal to its template again after a test that committed, or reports that only a new copy will do.
//!
//! The server counts the rows that were written, for each table and each catalog, and a new copy's counts are zero. From
//! 15 on the counts are exact when the sessions that wrote have ended
//! (<https://www.postgresql.org/docs/current/monitoring-stats.html>). A test can reset them, or keep its session from
//! being counted. So the counts alone prove nothing: the files' sizes and the rows' transaction identifiers must agree
//! with them.
//!
//! A table that has changed is truncated, and the rows of seeds are put back from a copy of them. A DELETE would leave
//! dead rows, and with them another order of later rows and other estimates of the planner.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use crate::catalog::{self, RowHolder};
use crate::names::{Ident, Literal};

const RESET: &str = include_str!("reset.sql");
const RESTORE_ESTIMATES: &str = include_str!("restore_estimates.sql");
const ESTIMATES_DIFFER: &str = include_str!("estimates_differ.sql");

/// More seeded rows than that are not kept a second time: a changed table then means a new copy.
const KEPT_ROWS: i64 = 10_000;
/// Tables with more rows than that are not read to prove that they are unchanged: their counts and sizes must do.
const ROWS_LOOKED_AT: i64 = 200_000;
/// The first version whose statistics are in shared memory, and not on their way.
const EXACT: i32 = 150_000;

/// Catalogs in which nearly every change of a schema leaves a trace, each with the condition that finds what `initdb` has
/// not made, by an index where there is much of it.
const CATALOGS: [(&str, &str); 9] = [
    ("pg_class", "oid >= 16384"),
    // The system's columns cannot be changed.
    ("pg_attribute", "attrelid >= 16384 and attnum > 0"),
    ("pg_type", "oid >= 16384"),
    ("pg_proc", "oid >= 16384"),
    ("pg_constraint", "oid >= 16384"),
    ("pg_trigger", "oid >= 16384"),
    ("pg_namespace", "oid >= 16384"),
    ("pg_enum", "oid >= 16384"),
    ("pg_rewrite", "oid >= 16384"),
];

/// Installs the procedure and the seeds' copies, after the last other object. `look` is the query that tells what a test
/// has left.
pub(super) async fn install(connection: &mut PgConnection, look: &str) -> Result<(), sqlx::Error> {
    let version: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int4")
        .fetch_one(&mut *connection)
        .await?;
    let mut refusal = String::new();
    if version < EXACT {
        refusal = refuse("the statistics of this version may come late");
    } else if let Some(name) = catalog::unstoppable_trigger(connection).await? {
        refusal = refuse(&format!(
            "the trigger or rule {name} works in every session"
        ));
    }
    // A scan of a large table may begin in its middle otherwise.
    // https://www.postgresql.org/docs/current/runtime-config-compatible.html#GUC-SYNCHRONIZE-SEQSCANS
    sqlx::raw_sql("set synchronize_seqscans = off")
        .execute(&mut *connection)
        .await?;
    let holders = catalog::row_holders(connection).await?;
    let rows: i64 = holders.iter().map(|holder| holder.rows).sum();
    let mut contents = Vec::new();
    let mut kept = vec!["select null::regclass, null::bigint where false".to_owned()];
    for (number, holder) in holders.iter().enumerate() {
        let restored = match holder.rows {
            _ if !holder.is_restorable => None,
            0 => Some(String::new()),
            _ if rows > KEPT_ROWS => None,
            _ => keep_rows(connection, holder, number).await?,
        };
        let name = holder.name.quoted();
        let source = if let Some(restored) = &restored {
            if !restored.is_empty() {
                // In one statement, which the session plans once.
                kept.push(format!(
                    "select {}::regclass, {} from only {name}",
                    Literal(&name),
                    unwritten(OLDEST)
                ));
            }
            format!("only {name}")
        } else {
            let size = "select pg_relation_size($1::regclass), current_setting('block_size')::int8";
            let (bytes, page) = sqlx::query_as(size)
                .bind(&name)
                .fetch_one(&mut *connection)
                .await?;
            catalog::every_row_again(&name, "xmin", bytes, page)
        };
        contents.push(format!(
            "({}::regclass, {}::bigint, {}, {}::text)",
            Literal(&name),
            holder.rows,
            Literal(&source),
            restored.map_or("null".to_owned(), |restored| Literal(&restored).to_string())
        ));
    }
    let contents = if contents.is_empty() {
        "select null::regclass, 0::bigint, null::text, null::text".to_owned()
    } else {
        format!("values {}", contents.join(", "))
    };
    let reset = RESET
        .replace("{look}", look)
        .replace("{refusal}", &refusal)
        .replace("{contents}", &contents)
        .replace("{kept}", &kept.join(" union all "))
        .replace("{unwritten}", &unwritten("%s"))
        .replace("{objects}", &objects())
        .replace("{looked_at}", &ROWS_LOOKED_AT.to_string())
        .replace("{restore_estimates}", RESTORE_ESTIMATES)
        .replace("{estimates_differ}", ESTIMATES_DIFFER)
        .replace(
            "{database_state}",
            &catalog::database_state(&mut *connection).await?,
        );
    sqlx::raw_sql(AssertSqlSafe(reset))
        .execute(connection)
        .await
        .map(drop)
}

fn refuse(why: &str) -> String {
    format!(
        "raise exception {} using errcode = 'EB001';",
        Literal(&why.replace('%', "%%"))
    )
}

/// The number of rows, or -1 if one was written since a transaction of the age `oldest`, as an expression.
fn unwritten(oldest: &str) -> String {
    format!("case when bool_or(age(xmin) < {oldest}) then -1 else count(*) end")
}

/// The procedure's variable, by the label of its block: a user's table may have a column of the same name.
const OLDEST: &str = "_ebbtide_reset.oldest";

/// The rows of each of the catalogs, counted by [`unwritten`].
fn objects() -> String {
    let seen = CATALOGS.map(|(catalog, is_own)| {
        format!(
            "(select {} from pg_catalog.{catalog} where {is_own})",
            unwritten(OLDEST)
        )
    });
    format!("array[{}]", seen.join(",\n        "))
}

/// Keeps the rows of a seeded table, and gives the statement that puts them back. None if they would not lie in the
/// same places again: a table from which rows were deleted takes new ones in another order than one without gaps.
async fn keep_rows(
    connection: &mut PgConnection,
    holder: &RowHolder,
    number: usize,
) -> Result<Option<String>, sqlx::Error> {
    let name = holder.name.quoted();
    let (kept, tried) = (
        format!("_ebbtide.rows_{number}"),
        format!("_ebbtide.tried_{number}"),
    );
    let columns = holder
        .columns
        .iter()
        .map(|column| Ident(column).to_string())
        .collect::<Vec<_>>()
        .join(", ");
    let options = holder
        .storage
        .as_deref()
        .map(|options| format!(" with ({options})"))
        .unwrap_or_default();
    let refill = |table: &str| {
        format!(
            "insert into {table} ({columns}) overriding system value select {columns} from {kept}"
        )
    };
    let fill_both = format!(
        "{}; create table {kept} as select {columns} from {}; \
         create table {tried} (like {name} including defaults including generated including identity including storage){options}; \
         {}",
        catalog::WITHOUT_SCANS,
        catalog::every_row(&name, &columns),
        refill(&tried)
    );
    sqlx::raw_sql(AssertSqlSafe(fill_both))
        .execute(&mut *connection)
        .await?;
    let pages = |table: &str| {
        let rows = catalog::every_row(table, "ctid");
        format!(
            "select (ctid::text::point)[0] as page, count(*) as rows, max((ctid::text::point)[1]) as last from {rows} group by 1"
        )
    };
    let equal = "select not exists ((table a except table b) union all (table b except table a))";
    let equal = format!(
        "{}; with a as ({}), b as ({}) {equal}",
        catalog::WITHOUT_SCANS,
        pages(&name),
        pages(&tried)
    );
    let row = sqlx::raw_sql(AssertSqlSafe(equal))
        .fetch_one(&mut *connection)
        .await?;
    let is_same: &str = row.try_get_unchecked(0)?;
    let is_same = is_same == "t";
    let drop = if is_same {
        format!("drop table {tried}")
    } else {
        format!("drop table {tried}, {kept}")
    };
    sqlx::raw_sql(AssertSqlSafe(drop))
        .execute(connection)
        .await?;
    Ok(is_same.then(|| refill(&name)))
}
