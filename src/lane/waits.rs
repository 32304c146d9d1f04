//! Watches the tests that have lanes: reports locks that they wait for while they wait, since a test that hangs has no end
//! to report at, and cancels statements that run on after a test's end.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::active_tests::ActiveTests;
use crate::names::DatabaseName;
use crate::server::Server;

/// A wait that is shorter is nobody's trouble.
const TOLERATED: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(500);
/// How long a statement may run on when its test is over.
const STATEMENT_GRACE: Duration = Duration::from_secs(1);

/// Who waits, for how long, with which statement; who has the lock, in what state, after which statement.
const WAITS: &str = "
    select w.datname::text, w.pid, w.application_name, extract(epoch from clock_timestamp() - w.query_start)::float8,
        left(regexp_replace(w.query, '\\s+', ' ', 'g'), 100),
        h.pid, coalesce(h.application_name, ''), coalesce(h.state, ''),
        left(regexp_replace(coalesce(h.query, ''), '\\s+', ' ', 'g'), 100)
    from pg_stat_activity w
        cross join lateral unnest(pg_blocking_pids(w.pid)) b(pid)
        left join pg_stat_activity h on h.pid = b.pid
    where w.wait_event_type = 'Lock' and w.datname = any($1) and clock_timestamp() - w.query_start > $2 * interval '1 s'
    order by w.pid, h.pid";

type Wait = (
    String,
    i32,
    String,
    f64,
    String,
    Option<i32>,
    String,
    String,
    String,
);

/// Looks while anybody has a lane. The connection for it is given back at once: on a server that has few, a test may wait
/// for it.
pub(super) async fn watch(server: Weak<Server>, active_tests: Arc<ActiveTests>) {
    let mut told = BTreeSet::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(databases) = active_tests.present_longer_than(TOLERATED) else {
            return;
        };
        let Some(server) = server.upgrade() else {
            return;
        };
        // In a task each: one that waits for the server delays neither the others nor the look, and ends with its test.
        active_tests.cancel_late(STATEMENT_GRACE, |number, database| {
            tokio::spawn(cancel(
                Arc::clone(&server),
                Arc::clone(&active_tests),
                number,
                database,
            ))
            .abort_handle()
        });
        if databases.is_empty() {
            continue;
        }
        match look(&server, &databases).await {
            Ok(waits) => tell(&waits, &active_tests, &mut told),
            Err(error) => tracing::debug!(%error, "nobody can tell who waits for whom"),
        }
    }
}

/// Cancels the statements on a database whose test is over: PostgreSQL goes on with one whose future was dropped.
async fn cancel(
    server: Arc<Server>,
    active_tests: Arc<ActiveTests>,
    number: u64,
    database: DatabaseName,
) {
    let cancel = "select pg_cancel_backend(pid) from pg_stat_activity \
                  where datname = $1 and state = 'active' and query !~ '_ebbtide'";
    // If the server does not answer, closing fails by itself.
    if let Ok(mut admin) = server.admin().await {
        active_tests.note_cancel(number);
        let _ = sqlx::query(cancel)
            .bind(database.as_str())
            .execute(&mut admin)
            .await;
        let _ = admin.close().await;
    }
}

async fn look(server: &Server, databases: &[String]) -> Result<Vec<Wait>, sqlx::Error> {
    let conn = &server.conn;
    let mut connection = PgConnection::connect_with(&conn.own_options(conn.admin())).await?;
    let waits = waits(&mut connection, databases).await;
    // The answer counts, not the farewell.
    let _ = connection.close().await;
    waits
}

async fn waits(
    connection: &mut PgConnection,
    databases: &[String],
) -> Result<Vec<Wait>, sqlx::Error> {
    sqlx::query_as(WAITS)
        .bind(databases)
        .bind(TOLERATED.as_secs_f64())
        .fetch_all(connection)
        .await
}

#[expect(clippy::print_stderr, reason = "a report on what hangs")]
fn tell(
    waits: &[Wait],
    active_tests: &ActiveTests,
    told: &mut BTreeSet<(i32, Option<i32>, String)>,
) {
    for (database, waiter, test, seconds, statement, holder, other, state, last) in waits {
        if !told.insert((*waiter, *holder, statement.clone())) {
            continue;
        }
        let who = match other {
            other if other == test => "another session of the same test",
            other if other.is_empty() => "a session without a name",
            other => other,
        };
        let text = format!(
            "{test} waits for a lock, for {seconds:.1} s by now: {statement}\n  {who} has it ({state}), after: {last}"
        );
        eprintln!("ebbtide: {text}");
        active_tests.note_wait(database, &text);
    }
}
