//! SQL on a test's pool. All of it must succeed.

use sqlx::{AssertSqlSafe, PgPool};

/// Runs SQL through the simple protocol.
pub async fn run(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(pool)
        .await
        .unwrap();
}

/// Executes a statement in a read-write transaction, and commits. It also works where settings make
/// sessions read-only.
pub async fn run_read_write(pool: &PgPool, sql: &'static str) {
    let mut transaction = pool.begin_with("begin read write").await.unwrap();
    sqlx::query(sql).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
}

/// The number that a query returns, through the extended protocol.
pub async fn number(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

/// The text that a query returns, through the extended protocol.
pub async fn text(pool: &PgPool, sql: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(pool)
        .await
        .unwrap()
}
