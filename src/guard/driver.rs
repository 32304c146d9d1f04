//! What sqlx records about a connection, and has to be kept in step with the server.

use std::task::Poll;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

/// Whether sqlx still counts the guarded transaction, so that a user's next `begin` opens a
/// savepoint.
pub(crate) fn is_transaction_counted(connection: &PgConnection) -> bool {
    connection.is_in_transaction()
}

/// Empties sqlx's cache of prepared statements, which `deallocate all` has deleted on the server.
///
/// For that sqlx sends a message and waits for the answer. On a server that ebbtide has started
/// (`owns_log`), the end of a test does not wait for it.
pub(super) async fn clear_statement_cache(
    connection: &mut PgConnection,
    owns_log: bool,
) -> Result<(), sqlx::Error> {
    // Most tests prepare something, but a test without a query must not cost a message.
    if connection.cached_statements_size() == 0 {
        return Ok(());
    }
    // If the process ends before it has read the answer, the server logs the broken connection. On
    // an external server that line would appear in its owner's log.
    if !owns_log {
        return connection.clear_cached_statements().await;
    }
    // One poll sends the message. sqlx reads the answer before its next message.
    let mut clearing = std::pin::pin!(connection.clear_cached_statements());
    match std::future::poll_fn(|context| Poll::Ready(clearing.as_mut().poll(context))).await {
        Poll::Ready(cleared) => cleared,
        Poll::Pending => Ok(()),
    }
}
