//! The state of a lane on an external server, which the lane's own table records.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::exchange::execute;
use super::message::lane_record as message;

/// Records the holder in the lane's own table, if the lane is clean and has fewer than `max_uses`
/// uses. Two processes cannot both claim the lane. Returns whether this process holds it.
pub(crate) async fn try_claim(
    connection: &mut PgConnection,
    holder: &str,
    max_uses: u32,
) -> Result<bool, sqlx::Error> {
    let claim = message::claim(holder, max_uses);
    // The count is that of the whole message, in which only the UPDATE counts rows.
    let claimed = sqlx::raw_sql(AssertSqlSafe(claim)).execute(connection);
    // No row: another process holds the lane or left it unclean, or it has had all its uses.
    Ok(claimed.await?.rows_affected() == 1)
}

/// Marks the lane as not clean in its own table.
///
/// # Errors
/// A violation of the constraint `leased_to_another_process`: another process has claimed the lane.
pub(crate) async fn mark_dirty(
    connection: &mut PgConnection,
    holder: &str,
) -> Result<(), sqlx::Error> {
    execute(connection, message::enter(holder)).await
}

/// Marks the lane as clean in its own table: it equals the template again.
pub(crate) async fn mark_clean(
    connection: &mut PgConnection,
    holder: &str,
) -> Result<(), sqlx::Error> {
    execute(connection, message::leave(holder)).await
}

/// Marks a template's row as not clean, so that each copy begins with a lane that no test may use
/// until the copy is complete.
pub(crate) async fn mark_unfinished(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    execute(connection, message::mark_unfinished()).await
}
