//! Begins a guarded transaction.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use super::exchange::execute;
use super::message::open::Opening;
use super::session::Session;

/// Begins the guarded transaction in one message.
///
/// # Errors
/// A violation of the constraint `leased_to_another_process`: another process has claimed the lane.
/// A violation of `another_server`: the session is on another server than the expected one.
pub(crate) async fn open(
    connection: &mut PgConnection,
    opening: &Opening<'_>,
) -> Result<(), sqlx::Error> {
    let message = opening.message();
    match opening.session {
        Session::New { .. } => {
            let transaction = connection.begin_with(AssertSqlSafe(message)).await?;
            // Dropping sqlx's `Transaction` would roll back. Forgetting it leaves sqlx's count of
            // transactions at one, so the user's next `begin` sends a SAVEPOINT and no BEGIN.
            std::mem::forget(transaction);
            Ok(())
        }
        // sqlx still counts the transaction of the first test: each close sends ROLLBACK as plain
        // SQL, so sqlx has seen no end of it.
        Session::Used { .. } => execute(connection, message).await,
    }
}
