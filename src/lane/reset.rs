//! Ends the sessions of a test that committed, and resets its lane.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::guard::{self, ResetOutcome, last_row};
use crate::names::{DatabaseName, Literal};

/// Renames the database, ends the other sessions on it, and undoes what a test has committed.
///
/// # Errors
/// [`CONDITION_FAILED`](crate::guard::CONDITION_FAILED): another session has not ended yet, and only
/// the renaming has happened; or the test has replaced an object of the reset.
pub(super) async fn rename_and_reset(
    connection: &mut PgConnection,
    name: &DatabaseName,
    holder: Option<&str>,
) -> Result<ResetOutcome, sqlx::Error> {
    // ALTER DATABASE cannot rename the current database
    // (https://www.postgresql.org/docs/current/sql-alterdatabase.html). A superuser's UPDATE can.
    // That is safe, because sessions refer to their database by identifier.
    let rename = format!(
        "begin read write; set local synchronous_commit = off; \
         update pg_database set datname = {} where datname = current_database(); commit; \
         begin; select 1 / ({END_AND_COUNT_OTHERS} = 0)::int; commit; ",
        Literal(name.as_str())
    );
    guard::reset(connection, &rename, holder).await
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
