//! ebbtide's own statements in the session of the database that is built.

use sqlx::postgres::PgConnection;

use crate::error::Result;
use crate::sql_error;

/// Runs a statement without a result. The error names it.
pub(super) async fn run(connection: &mut PgConnection, statement: &'static str) -> Result<()> {
    sqlx::raw_sql(statement)
        .execute(connection)
        .await
        .map(drop)
        .map_err(|error| sql_error::failed(statement, error))
}
