//! The messages that undo, in a lane, what a test has committed.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::guard::{CONDITION_FAILED, execute, last_row, reset_message};
use crate::names::{DatabaseName, Literal};
use crate::sql_error::code;

/// Renames the database, ends the other sessions on it, and undoes what a test has committed, in
/// one message. Returns false if another session has not ended yet: then only the renaming has
/// happened.
///
/// # Errors
/// EB001: the lane needs a new copy.
pub(super) async fn rename_and_reset(
    connection: &mut PgConnection,
    name: &DatabaseName,
    holder: Option<&str>,
) -> Result<bool, sqlx::Error> {
    // ALTER DATABASE cannot rename the current database
    // (https://www.postgresql.org/docs/current/sql-alterdatabase.html). A superuser's UPDATE can.
    // That is safe, because sessions refer to their database by identifier.
    let message = format!(
        "begin read write; set local synchronous_commit = off; \
         update pg_database set datname = {} where datname = current_database(); commit; \
         begin; select 1 / ({END_AND_COUNT_OTHERS} = 0)::int; commit; {}",
        Literal(name.as_str()),
        reset_message(holder)
    );
    match execute_or_roll_back(connection, message).await {
        Ok(()) => Ok(true),
        // The reset's check of the procedures fails with the same code. Then the caller's reset
        // fails with it again.
        Err(error) if code(&error) == Some(CONDITION_FAILED) => Ok(false),
        Err(error) => Err(error),
    }
}

/// An expression that ends the other sessions on the database and counts those that still exist.
///
/// A starting session is not listed yet, but holds a lock on the database (`InitPostgres` in
/// PostgreSQL's `postinit.c`). So these locks are counted, too. The functions are those below the
/// views `pg_stat_activity` and `pg_locks`; the first view joins further tables.
const END_AND_COUNT_OTHERS: &str = "(select \
         (select count(pg_terminate_backend(a.pid)) from pg_stat_get_activity(null) a \
             where a.datid = d.oid and a.pid <> pg_backend_pid() \
                 and a.backend_type = 'client backend') \
         + (select count(*) from pg_lock_status() l where l.locktype = 'object' \
             and l.classid = 'pg_database'::regclass and l.objid = d.oid \
             and l.pid <> pg_backend_pid()) \
         from pg_database d where datname = current_database())";

/// Ends the other sessions on the database. Returns the number of those that still exist, as the
/// server's text.
pub(super) async fn end_others(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let row = last_row(connection, format!("select {END_AND_COUNT_OTHERS}")).await?;
    let left: &str = row.try_get_unchecked(0)?;
    Ok(left.to_owned())
}

/// Undoes what a test has committed.
///
/// # Errors
/// EB001: the lane needs a new copy. EB002: the database must be dropped at once.
pub(super) async fn reset(
    connection: &mut PgConnection,
    holder: Option<&str>,
) -> Result<(), sqlx::Error> {
    execute_or_roll_back(connection, reset_message(holder)).await
}

/// Executes a message that begins transactions. If a statement fails, the open transaction is
/// rolled back.
async fn execute_or_roll_back(
    connection: &mut PgConnection,
    message: String,
) -> Result<(), sqlx::Error> {
    let result = execute(connection, message).await;
    if result.is_err() {
        // The caller reports the first error.
        let _ = execute(connection, "rollback".to_owned()).await;
    }
    result
}
