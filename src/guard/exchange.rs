//! Sends a message of the guard, and reads its answer.

use sqlx::AssertSqlSafe;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

/// Executes a message whose rows do not matter.
pub(crate) async fn execute(
    connection: &mut PgConnection,
    message: String,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(message))
        .execute(connection)
        .await
        .map(drop)
}

/// The rows that the statements of a message return.
pub(super) async fn rows(
    connection: &mut PgConnection,
    message: String,
) -> Result<Vec<PgRow>, sqlx::Error> {
    // `raw_sql` is a simple query: only that may hold several statements
    // (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SIMPLE-QUERY). The
    // server answers it with text, so values are read unchecked as `&str`.
    sqlx::raw_sql(AssertSqlSafe(message))
        .fetch_all(connection)
        .await
}

/// The last row that the statements of a message return.
pub(crate) async fn last_row(
    connection: &mut PgConnection,
    message: String,
) -> Result<PgRow, sqlx::Error> {
    let mut rows = rows(connection, message).await?;
    rows.pop().ok_or(sqlx::Error::RowNotFound)
}

/// Reads a boolean as the simple protocol spells it.
pub(super) fn flag(row: &PgRow, column: usize) -> Result<bool, sqlx::Error> {
    let text: &str = row.try_get_unchecked(column)?;
    Ok(text == "t")
}
