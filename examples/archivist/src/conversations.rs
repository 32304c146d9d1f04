//! The conversations of one user.

use sqlx::postgres::PgConnection;

/// Limits the rest of the transaction to the conversations of one user.
///
/// # Errors
/// The query fails.
pub async fn act_as(connection: &mut PgConnection, email: &str) -> Result<(), sqlx::Error> {
    // With `true`, the setting ends with the transaction.
    let set = "select set_config('archive.user', id::text, true) from users where email = $1";
    sqlx::query(set)
        .bind(email)
        .execute(connection)
        .await
        .map(drop)
}

/// Begins a conversation, as the user that the session acts as.
///
/// # Errors
/// The query fails.
pub async fn begin_conversation(
    connection: &mut PgConnection,
    content: &str,
) -> Result<(), sqlx::Error> {
    let insert = "insert into conversations (user_id)
        values (current_setting('archive.user')::bigint) returning id";
    let id: i64 = sqlx::query_scalar(insert)
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query("insert into messages (conversation_id, content) values ($1, $2)")
        .bind(id)
        .bind(content)
        .execute(connection)
        .await
        .map(drop)
}

/// The messages that the session may see, the oldest first.
///
/// # Errors
/// The query fails.
pub async fn messages(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("select content from messages order by id")
        .fetch_all(connection)
        .await
}
