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
/// For that sqlx sends a message and waits for the answer. On a server that ebbtide has started,
/// the end of a test does not wait: it polls the future once, which sends the message, and sqlx
/// reads the answer before its next message. If the process ends before, the server logs the broken
/// connection. On an external server (`owns_log` is false) that line would appear in its owner's
/// log, so there the answer is awaited.
pub(super) async fn clear_statement_cache(
    connection: &mut PgConnection,
    owns_log: bool,
) -> Result<(), sqlx::Error> {
    // Most tests prepare something, but a test without a query must not cost a message.
    if connection.cached_statements_size() == 0 {
        return Ok(());
    }
    if !owns_log {
        return connection.clear_cached_statements().await;
    }
    let mut clearing = std::pin::pin!(connection.clear_cached_statements());
    match std::future::poll_fn(|context| Poll::Ready(clearing.as_mut().poll(context))).await {
        Poll::Ready(cleared) => cleared,
        Poll::Pending => Ok(()),
    }
}
