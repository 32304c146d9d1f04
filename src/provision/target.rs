//! The database that is being built: new sessions on it, and what its sessions execute.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use crate::conn::{self, ConnParams};
use crate::error::Result;
use crate::sql_error;

/// How long a query for the activity of other sessions may take. After that, the report goes
/// without.
const ACTIVITY_QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// The database that is being built, for code that needs another session on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) conn: &'a ConnParams,
    pub(crate) database: &'a str,
}

impl Target<'_> {
    /// Replaces a session by a new one. It begins with the settings that the migrations gave to the
    /// database, and to the role in this database. The old session ends first: the server may have
    /// no second connection for this role.
    pub(crate) async fn new_session(&self, mut old: PgConnection) -> Result<PgConnection> {
        report_counts(&mut old).await;
        // The server ends a session whose connection is lost, so an error here does not affect the
        // new one.
        let _ = old.close().await;
        self.conn.connect(self.database).await
    }

    /// Replaces a session by an administrative one, in which no setting of the database or the role
    /// changes ebbtide's own statements.
    pub(super) async fn own_session(&self, mut old: PgConnection) -> Result<PgConnection> {
        report_counts(&mut old).await;
        // As above, an error here does not affect the new session.
        let _ = old.close().await;
        conn::open(&self.conn.own_options(self.database))
            .await
            .map_err(|error| sql_error::failed("connecting for ebbtide's own statements", error))
    }

    /// Like [`new_session`](Self::new_session), for a borrowed connection. The new session begins
    /// before the old one ends, because a borrowed connection cannot be closed.
    pub(super) async fn replace_session(&self, connection: &mut PgConnection) -> Result<()> {
        report_counts(connection).await;
        let new = self.conn.connect(self.database).await?;
        // As above, an error here does not affect the new session.
        let _ = std::mem::replace(connection, new).close().await;
        Ok(())
    }

    /// Cancels the statement of a session, and returns what that session was waiting for.
    ///
    /// It uses a second connection, because the session's own is busy with the statement. `None` if
    /// the server did not answer in time or did not cancel: the caller must then not wait for
    /// results. The wait is read before the cancellation, which ends it.
    pub(super) async fn cancel(&self, pid: i32) -> Option<String> {
        let query = async {
            let mut connection = conn::open(&self.conn.own_options(self.database))
                .await
                .ok()?;
            let waits: Option<String> = sqlx::query_scalar(
                "select coalesce(wait_event_type || ': ' || wait_event, 'nothing: it was running') \
                 || coalesce((select format(', held by session %s: %s', \
                 holder.pid, left(holder.query, 200)) from pg_stat_activity holder \
                 where holder.pid = any(pg_blocking_pids($1)) limit 1), '') \
                 from pg_stat_activity where pid = $1",
            )
            .bind(pid)
            .fetch_optional(&mut connection)
            .await
            .ok()
            .flatten();
            let cancel = sqlx::query_scalar("select pg_cancel_backend($1)").bind(pid);
            let cancelled: bool = cancel.fetch_one(&mut connection).await.ok()?;
            // The statement is cancelled; an error while closing changes nothing.
            let _ = connection.close().await;
            waits.filter(|_| cancelled)
        };
        tokio::time::timeout(ACTIVITY_QUERY_TIMEOUT, query)
            .await
            .ok()
            .flatten()
    }
}

/// Makes a session report how many rows it has changed.
///
/// `catalog::rows` scans a large table only if the server has counted no updated or deleted row in
/// it. A session reports these counts with a delay, unless this function (from PostgreSQL 15 on)
/// demands it. If the call fails, the session reports them when it ends.
/// <https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-FUNCTIONS>
async fn report_counts(session: &mut PgConnection) {
    if session
        .server_version_num()
        .is_some_and(|version| version >= 150_000)
    {
        let _ = sqlx::raw_sql("select pg_catalog.pg_stat_force_next_flush()")
            .execute(session)
            .await;
    }
}

/// The statements that other sessions execute on this database, one line for each session.
pub(super) async fn executing_statements(connection: &mut PgConnection) -> String {
    // The query returns text only, so the simple protocol can send it: one round trip, without a
    // Parse message. <https://www.postgresql.org/docs/current/monitoring-stats.html>
    let query = "select format('session %s%s, %s, %s: %s', pid, \
         case when application_name <> '' then ' (' || application_name || ')' end, state, \
         coalesce('waits for ' || wait_event_type || ': ' || wait_event, 'not waiting'), \
         left(query, 400)) from pg_stat_activity \
         where datname = current_database() and pid <> pg_backend_pid() \
         and backend_type = 'client backend' and state <> 'idle' order by pid";
    let rows = tokio::time::timeout(
        ACTIVITY_QUERY_TIMEOUT,
        sqlx::raw_sql(query).fetch_all(connection),
    )
    .await;
    match rows {
        Ok(Ok(rows)) if rows.is_empty() => "nothing".to_owned(),
        Ok(Ok(rows)) => rows
            .iter()
            .filter_map(|row| row.try_get(0).ok())
            .collect::<Vec<String>>()
            .join("\n"),
        // The caller reports a failure of its own. A missing answer here must not replace it.
        Ok(Err(_)) | Err(_) => "unknown: the server did not answer".to_owned(),
    }
}
