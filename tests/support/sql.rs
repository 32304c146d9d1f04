//! SQL on a test's connection, and what a database reports about itself.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// The database's OID, which differs after a copy.
pub const DATABASE_OID: &str =
    "select oid::int8 from pg_database where datname = current_database()";

/// Runs SQL through the simple protocol.
///
/// # Errors
/// The server refuses a statement, or the connection is closed.
pub async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}

/// The number that a query returns, through the extended protocol.
pub async fn number(connection: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

/// The text that a query returns, through the extended protocol.
pub async fn text(connection: &mut PgConnection, sql: &'static str) -> String {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

/// The text that a query returns in a session of its own at this URL.
pub async fn text_at(url: &str, sql: &'static str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let text = text(&mut connection, sql).await;
    connection.close().await.unwrap();
    text
}

/// Whether the session's role is a superuser.
pub async fn is_superuser(connection: &mut PgConnection) -> bool {
    sqlx::query_scalar("select rolsuper from pg_roles where rolname = current_user")
        .fetch_one(connection)
        .await
        .unwrap()
}

/// The SQLSTATE of an error, or an empty string.
pub fn code(error: &sqlx::Error) -> String {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .unwrap_or_default()
        .into_owned()
}
