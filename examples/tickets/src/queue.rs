//! The tickets of one organization.

use sqlx::postgres::PgConnection;

/// Limits the rest of the transaction to the rows of one organization.
///
/// # Errors
/// The query fails.
pub async fn act_for(connection: &mut PgConnection, organization: i64) -> Result<(), sqlx::Error> {
    // With `true`, the setting ends with the transaction. The next user of the pooled connection
    // begins without an organization.
    sqlx::query("select set_config('tickets.organization', $1::text, true)")
        .bind(organization)
        .execute(connection)
        .await
        .map(drop)
}

/// The titles of the open tickets that the session may see, the oldest first.
///
/// # Errors
/// The query fails.
pub async fn open_tickets(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("select title from tickets where state = 'open' order by id")
        .fetch_all(connection)
        .await
}
