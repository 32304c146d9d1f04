//! What the server is doing for a database, seen from another session.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use crate::conn::{self, ConnParams};
use crate::error::Result;

/// How long a look may take; after that nothing is known.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// The database that is made, for who needs a session of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) conn: &'a ConnParams,
    pub(crate) database: &'a str,
}

impl Target<'_> {
    /// Replaces a session by a new one, which begins with the settings of the database and of its role there. The old one
    /// ends first: the server may have no further connection for this role.
    pub(crate) async fn new_session(&self, mut old: PgConnection) -> Result<PgConnection> {
        if old
            .server_version_num()
            .is_some_and(|version| version >= 150_000)
        {
            // The counts of updated and deleted rows decide how a large table is read. A session that cannot report them now
            // does so when it ends.
            let _ = sqlx::raw_sql("select pg_catalog.pg_stat_force_next_flush()")
                .execute(&mut old)
                .await;
        }
        // The server drops what a session leaves open; an error here changes nothing about the new one.
        let _ = old.close().await;
        self.conn.connect(self.database).await
    }

    /// Cancels what a session executes. What it waited for, if the server could be asked.
    pub(super) async fn cancel(&self, pid: i32) -> Option<String> {
        let look = async {
            let mut connection = conn::open(&self.conn.own_options(self.database))
                .await
                .ok()?;
            let waits: Option<String> = sqlx::query_scalar(
                "select coalesce(wait_event_type || ': ' || wait_event, 'nothing: it works') || coalesce((\
                 select format(', held by session %s: %s', holder.pid, left(holder.query, 200)) \
                 from pg_stat_activity holder where holder.pid = any(pg_blocking_pids($1)) limit 1), '') \
                 from pg_stat_activity where pid = $1",
            )
            .bind(pid)
            .fetch_optional(&mut connection)
            .await
            .ok()
            .flatten();
            let cancel = sqlx::query_scalar("select pg_cancel_backend($1)").bind(pid);
            let cancelled: bool = cancel.fetch_one(&mut connection).await.ok()?;
            // It has done its work.
            let _ = connection.close().await;
            waits.filter(|_| cancelled)
        };
        tokio::time::timeout(QUERY_TIMEOUT, look)
            .await
            .ok()
            .flatten()
    }
}

/// What other sessions execute on this database, one line each.
pub(super) async fn seen(connection: &mut PgConnection) -> String {
    // Text alone, so that one message is enough: <https://www.postgresql.org/docs/current/monitoring-stats.html>.
    let query = "select format('session %s%s, %s, %s: %s', pid, \
                 case when application_name <> '' then ' (' || application_name || ')' end, state, \
                 coalesce('waits for ' || wait_event_type || ': ' || wait_event, 'works'), left(query, 400)) \
                 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() \
                 and backend_type = 'client backend' and state <> 'idle' order by pid";
    let rows =
        tokio::time::timeout(QUERY_TIMEOUT, sqlx::raw_sql(query).fetch_all(connection)).await;
    match rows {
        Ok(Ok(rows)) if rows.is_empty() => "nothing".to_owned(),
        Ok(Ok(rows)) => rows
            .iter()
            .filter_map(|row| row.try_get(0).ok())
            .collect::<Vec<String>>()
            .join("\n"),
        // An answer that does not come is no reason to hide what went wrong before.
        Ok(Err(_)) | Err(_) => "unknown: the server could not be asked".to_owned(),
    }
}
