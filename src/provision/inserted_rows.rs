//! How many rows were inserted, by table, as the server's statistics count them.
//! <https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-VIEWS>

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use crate::catalog::RelationName;
use crate::error::Result;
use crate::guard_names::SCHEMA;
use crate::sql_error;

/// A number of rows by table.
pub(super) type RowCounts = BTreeMap<String, u64>;

/// The rows that this session inserted, as far as the session still holds their counts.
///
/// They include the inserts of triggers and functions. They also include earlier transactions whose
/// counts the session has not reported yet, so the caller subtracts the counts from before.
pub(super) async fn in_transaction(connection: &mut PgConnection) -> Result<RowCounts> {
    counts(connection, "pg_stat_xact_user_tables").await
}

/// The rows that all sessions inserted. The session reports its own counts first, for which
/// PostgreSQL 14 has no function: there, some rows of the last second may be missing.
pub(super) async fn in_all_transactions(connection: &mut PgConnection) -> Result<RowCounts> {
    let can_flush = connection
        .server_version_num()
        .is_some_and(|version| version >= 150_000);
    let flush = if can_flush {
        "select pg_catalog.pg_stat_force_next_flush()"
    } else {
        "select pg_catalog.pg_stat_clear_snapshot()"
    };
    sqlx::raw_sql(flush)
        .execute(&mut *connection)
        .await
        .map_err(|error| sql_error::failed("reporting inserted rows", error))?;
    counts(connection, "pg_stat_user_tables").await
}

/// What is in `after` beyond `before`.
pub(super) fn difference(mut after: RowCounts, before: &RowCounts) -> RowCounts {
    after.retain(|table, count| {
        *count -= before.get(table).copied().unwrap_or_default().min(*count);
        *count > 0
    });
    after
}

async fn counts(connection: &mut PgConnection, view: &str) -> Result<RowCounts> {
    let query = format!(
        "select schemaname::text, relname::text, n_tup_ins::text from pg_catalog.{view} \
         where n_tup_ins > 0 and schemaname <> '{SCHEMA}' and schemaname !~ '^pg_temp'"
    );
    // The simple protocol leaves no prepared statement behind in the session.
    let rows = sqlx::raw_sql(AssertSqlSafe(query))
        .fetch_all(connection)
        .await;
    rows.and_then(|rows| {
        rows.iter()
            .map(|row| {
                let table = RelationName::of_row(row, 0)?;
                let count: String = row.try_get(2)?;
                Ok((table.to_string(), count.parse().unwrap_or_default()))
            })
            .collect()
    })
    .map_err(|error| sql_error::failed("counting inserted rows", error))
}
