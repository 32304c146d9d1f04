//! Installs what a reset needs: it makes a lane equal to its template again after a test that
//! committed, or finds that the lane must be copied again. The client reads what has changed from
//! these objects, and composes the statements that undo it (`guard/reset.rs`). A procedure would
//! load PL/pgSQL in each new session, which takes longer than most resets.
//!
//! ```text
//!  what the test may have changed                 what the reset does
//!    properties of the database, the schema       the lane is copied again
//!    prepared transactions, replication slots     the database is dropped at once, then copied
//!    rows of a table that can be restored         TRUNCATE, refill from the copy of the seeds
//!    rows of another table                        the lane is copied again
//!    statistics of the planner in `pg_class`      writes the template's values back
//!    sequences                                    sets the template's values
//! ```
//!
//! The server counts the rows that are written, for each table and each catalog. A new copy begins
//! with zero. From PostgreSQL 15 on the counts are exact once the sessions that wrote have ended
//! (<https://www.postgresql.org/docs/current/monitoring-stats.html>). A test can reset the counts,
//! or keep its session from being counted. So the counts alone prove nothing: the sizes of the
//! files and the transaction identifiers of the rows must agree with them.
//!
//! A table that has changed is truncated, and seeded rows are inserted again from a copy of them. A
//! DELETE would leave dead rows. They would change the order of later rows, and the planner's
//! estimates.

use sqlx::postgres::PgConnection;

use super::rewound_queries::RewoundQueries;
use crate::catalog::{self, InsideProperties, RowHolder};
use crate::guard::exchange::{execute, flag, last_row};
use crate::guard::message::reset::{PLANNER_COLUMNS_DIFFER, count_unless_written};
use crate::guard_names::SCHEMA;
use crate::names::{Ident, Literal};

pub(super) const RESET_SQL: &str = include_str!("reset.sql");
const CHANGED_TABLES_SQL: &str = include_str!("changed_tables.sql");

/// The most seeded rows, of all tables together, that a template stores a second time. With more of
/// them, a changed table means a new copy of the lane.
const MAX_SEED_ROWS_STORED: i64 = 10_000;
/// The largest table that a reset reads to prove that it is unchanged. For a larger one, its counts
/// and its size must suffice.
const MAX_ROWS_READ: i64 = 200_000;
/// The first version that keeps statistics in shared memory. Older servers send the counts to a
/// collector process, so the counts arrive late.
const FIRST_VERSION_WITH_EXACT_COUNTS: i32 = 150_000;

/// Catalogs in which nearly every change of a schema leaves a trace. Each has the condition for
/// rows that `initdb` has not made; where there are many, an index serves the condition.
const CATALOGS: [(&str, &str); 9] = [
    ("pg_class", "oid >= 16384"),
    // System columns, with negative numbers, cannot be changed.
    ("pg_attribute", "attrelid >= 16384 and attnum > 0"),
    ("pg_type", "oid >= 16384"),
    ("pg_proc", "oid >= 16384"),
    ("pg_constraint", "oid >= 16384"),
    ("pg_trigger", "oid >= 16384"),
    ("pg_namespace", "oid >= 16384"),
    ("pg_enum", "oid >= 16384"),
    ("pg_rewrite", "oid >= 16384"),
];

/// Installs these objects, and the copies of the seeded rows, after every other object. `rewound`
/// has the queries of the views `_ebbtide.rewound` and `_ebbtide.rewound_of_role`.
///
/// A reset refuses every lane where its proof would not hold. Before PostgreSQL 15 the counts may
/// be late, and a trigger may fire even in the session of the reset. It also refuses where the new
/// name of a lane would have to be stored again.
pub(super) async fn install(
    connection: &mut PgConnection,
    rewound: &RewoundQueries,
) -> Result<(), sqlx::Error> {
    let version: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int4")
        .fetch_one(&mut *connection)
        .await?;
    let mut refusal = String::new();
    if version < FIRST_VERSION_WITH_EXACT_COUNTS {
        refusal = refuse("PostgreSQL before version 15 reports the row counts late");
    } else if let Some(name) = catalog::always_firing_trigger(connection).await? {
        refusal = refuse(&format!(
            "the trigger or rule {name} fires in every session"
        ));
    } else if InsideProperties::contain_name(connection).await? {
        refusal = refuse("a reset renames the database, whose name the schema contains");
    }
    // By default, a scan of a large table may begin in its middle, where another scan is.
    // https://www.postgresql.org/docs/current/runtime-config-compatible.html#GUC-SYNCHRONIZE-SEQSCANS
    sqlx::raw_sql("set synchronize_seqscans = off")
        .execute(&mut *connection)
        .await?;
    let holders = catalog::row_holders(connection).await?;
    let rows: i64 = holders.iter().map(|holder| holder.rows).sum();
    let mut contents = Vec::new();
    // The first branch gives the union its types, and is the only one if no table has seeded rows.
    let mut current_counts = vec!["select null::regclass, null::bigint where false".to_owned()];
    for (number, holder) in holders.iter().enumerate() {
        let restored = match holder.rows {
            _ if !holder.is_restorable => None,
            // TRUNCATE alone restores a table that was empty.
            0 => Some(String::new()),
            _ if rows > MAX_SEED_ROWS_STORED => None,
            _ => store_rows(connection, holder, number).await?,
        };
        let name = holder.name.quoted();
        // A scan would remove dead rows from the pages of a table that the reset cannot refill.
        // Such a table is read by `ctid`.
        let source = if let Some(restored) = &restored {
            if !restored.is_empty() {
                // All of these tables are read in one statement, which the session plans once.
                current_counts.push(format!(
                    "select {}::regclass, {} from only {name}",
                    Literal(&name),
                    count_unless_written(OLDEST_PARAMETER)
                ));
            }
            // ONLY: tables that inherit from this one, and partitions, are holders of their own.
            format!("only {name}")
        } else {
            let size = "select pg_relation_size($1::regclass), current_setting('block_size')::int8";
            let (bytes, page) = sqlx::query_as(size)
                .bind(&name)
                .fetch_one(&mut *connection)
                .await?;
            catalog::every_row_repeatedly(&name, "xmin", bytes, page)
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
    let changed_tables = CHANGED_TABLES_SQL
        .replace("{current_counts}", &current_counts.join(" union all "))
        .replace("{max_rows_read}", &MAX_ROWS_READ.to_string());
    let reset = RESET_SQL
        .replace("{rewound_query}", &rewound.of_owner)
        .replace("{rewound_of_role_query}", &rewound.of_role)
        .replace("{refusal}", &refusal)
        .replace("{contents}", &contents)
        .replace("{changed_tables}", &Literal(&changed_tables).to_string())
        .replace("{object_counts}", &object_counts())
        .replace("{planner_columns_differ}", PLANNER_COLUMNS_DIFFER)
        .replace(
            "{database_state}",
            &catalog::database_state(&mut *connection).await?,
        );
    execute(connection, reset).await
}

/// A branch of a CASE: the lane must be copied again.
fn refuse(why: &str) -> String {
    format!("when true then {}", Literal(why))
}

/// The age of the oldest row that a test wrote, for the queries of the catalogs.
const OLDEST_COLUMN: &str = "_ebbtide_reset.oldest";
/// The same in the function. By its number: a user's table may have a column of any name.
const OLDEST_PARAMETER: &str = "$1";

/// An SQL expression: an array with the number of rows of each catalog, from
/// [`count_unless_written`].
fn object_counts() -> String {
    let counts = CATALOGS.map(|(catalog, is_own)| {
        format!(
            "(select {} from pg_catalog.{catalog} where {is_own})",
            count_unless_written(OLDEST_COLUMN)
        )
    });
    format!("array[{}]", counts.join(",\n        "))
}

/// Stores a copy of the rows of a seeded table, and returns the statement that inserts them again.
/// None if the rows would not get the same places again.
///
/// Migrations and seeds that delete or update rows leave gaps. Later rows fill the gaps, so a table
/// that was refilled without gaps would return rows in another order. A trial table is filled from
/// the copy, and its pages are compared with those of the original.
async fn store_rows(
    connection: &mut PgConnection,
    holder: &RowHolder,
    number: usize,
) -> Result<Option<String>, sqlx::Error> {
    let name = holder.name.quoted();
    let (copy, trial) = (
        format!("{SCHEMA}.rows_{number}"),
        format!("{SCHEMA}.tried_{number}"),
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
    // OVERRIDING SYSTEM VALUE: the copy has values for identity columns, too
    // (https://www.postgresql.org/docs/current/sql-insert.html).
    let refill = |table: &str| {
        format!(
            "insert into {table} ({columns}) overriding system value select {columns} from {copy}"
        )
    };
    let fill_both = format!(
        "{}; create table {copy} as select {columns} from {}; \
         create table {trial} (like {name} including defaults including generated including identity including storage){options}; \
         {}",
        catalog::DISABLE_SEQUENTIAL_SCANS,
        catalog::every_row(&name, &columns),
        refill(&trial)
    );
    execute(connection, fill_both).await?;
    let pages = |table: &str| {
        let rows = catalog::every_row(table, "ctid");
        format!(
            "select (ctid::text::point)[0] as page, count(*) as rows, max((ctid::text::point)[1]) as last from {rows} group by 1"
        )
    };
    let equal = "select not exists ((table a except table b) union all (table b except table a))";
    let equal = format!(
        "{}; with a as ({}), b as ({}) {equal}",
        catalog::DISABLE_SEQUENTIAL_SCANS,
        pages(&name),
        pages(&trial)
    );
    let is_same = flag(&last_row(connection, equal).await?, 0)?;
    // The reset counts the objects, so what it does not need must not stay.
    let drop = if is_same {
        format!("drop table {trial}")
    } else {
        format!("drop table {trial}, {copy}")
    };
    execute(connection, drop).await?;
    Ok(is_same.then(|| refill(&name)))
}
