//! The messages that undo, in a lane, what a test has committed.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::guard::{DOUBT, last_row, send};
use crate::names::{DatabaseName, Literal};
use crate::sql_error::code;

/// Gives the database a new name, ends the other sessions on it, and undoes what a test has committed, in one message.
/// Returns false if a session has not ended yet: then only the name is new.
///
/// ALTER DATABASE refuses the current database, and any other with a session on it. Sessions look a database up by its
/// identifier; the name is a column of one row, and ours a superuser's session.
///
/// # Errors
/// EB001: only a new copy will do.
pub(super) async fn rename_and_reset(
    connection: &mut PgConnection,
    name: &DatabaseName,
    holder: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let message = format!(
        "begin read write; set local synchronous_commit = off; \
         update pg_database set datname = {} where datname = current_database(); commit; \
         begin; select 1 / ({OTHERS} = 0)::int; commit; {}",
        Literal(name.as_str()),
        undo(holder)
    );
    match send_or_roll_back(connection, message).await {
        Ok(()) => Ok(true),
        // `UNTOUCHED` fails with the same code, and fails again in the reset that follows.
        Err(error) if code(&error) == Some(DOUBT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Ends the other sessions on the database and counts those that are still there, as an expression. A session that is
/// about to begin holds a lock on the database and is not listed yet (`InitPostgres` in PostgreSQL's `postinit.c`).
/// `pg_stat_get_activity` is the function below the view `pg_stat_activity`, which joins tables to it.
const OTHERS: &str = "(select (select count(pg_terminate_backend(a.pid)) from pg_stat_get_activity(null) a \
                           where a.datid = d.oid and a.pid <> pg_backend_pid() and a.backend_type = 'client backend') \
                       + (select count(*) from pg_lock_status() l where l.locktype = 'object' \
                           and l.classid = 'pg_database'::regclass and l.objid = d.oid and l.pid <> pg_backend_pid()) \
                       from pg_database d where datname = current_database())";

/// Ends the other sessions on the database. Returns the number of those that are still there, as the server spells it.
pub(super) async fn end_others(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let row = last_row(connection, format!("select {OTHERS}")).await?;
    let left: &str = row.try_get_unchecked(0)?;
    Ok(left.to_owned())
}

/// Undoes what a test has committed.
///
/// # Errors
/// EB001: only a new copy will do.
pub(super) async fn reset(
    connection: &mut PgConnection,
    holder: Option<&str>,
) -> Result<(), sqlx::Error> {
    send_or_roll_back(connection, undo(holder)).await
}

/// Sends a message with transactions of ours. One that the server refuses does not stay open.
async fn send_or_roll_back(
    connection: &mut PgConnection,
    message: String,
) -> Result<(), sqlx::Error> {
    let sent = send(connection, message).await;
    if sent.is_err() {
        // The first error is the one to report.
        let _ = send(connection, "rollback".to_owned()).await;
    }
    sent
}

fn undo(holder: Option<&str>) -> String {
    let leave = holder
        .map(|holder| format!("call _ebbtide.leave({}); ", Literal(holder)))
        .unwrap_or_default();
    format!(
        "begin read write; set local synchronous_commit = off; {UNTOUCHED}; call _ebbtide.reset(); {leave}commit"
    )
}

/// Fails if a row of `pg_proc`, whose identifier is 1255, was written since the copy: it may be the procedure that judges
/// the rest.
const UNTOUCHED: &str = "select 1 / (pg_stat_get_tuples_inserted(1255) + pg_stat_get_tuples_updated(1255) \
                         + pg_stat_get_tuples_deleted(1255) = 0)::int";
