//! Watches the tests that have lanes: reports lock waits, and cancels statements that still run
//! after a test's end.
//!
//! ```text
//!  the first test gets a lane: pool::hand_out spawns watch
//!     |
//!     v
//!  sleep WATCH_INTERVAL <----------------------------------------------------------+
//!     |-- no test has a lane, or the server is gone: the task ends                 |
//!     |-- a test has been ending for STATEMENT_GRACE: spawn cancel                 |
//!     +-- a test has had its lane for MIN_REPORTED_WAIT: query and report waits ---+
//! ```
//!
//! Waits are reported while they last, and not at the end of the test, because a test that hangs
//! never ends.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::active_tests::ActiveTests;
use crate::guard_names::own;
use crate::names::DatabaseName;
use crate::server::Server;

/// Shorter waits are normal and not reported.
const MIN_REPORTED_WAIT: Duration = Duration::from_secs(1);
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// How long a statement may still run when its test is ending.
const STATEMENT_GRACE: Duration = Duration::from_secs(1);

/// Returns a row for each pair of a waiting session and a session that blocks it. The first columns
/// are about the waiting session: database, process, application name, seconds since the statement
/// began, and statement. The others are about the blocking session: process, application name,
/// state and last statement.
// A prepared transaction blocks as process 0, of which there is no row, hence the LEFT JOIN
// (https://www.postgresql.org/docs/current/functions-info.html).
const LOCK_WAITS_QUERY: &str = "
    select w.datname::text, w.pid, w.application_name,
        extract(epoch from clock_timestamp() - w.query_start)::float8,
        left(regexp_replace(w.query, '\\s+', ' ', 'g'), 100),
        h.pid, coalesce(h.application_name, ''), coalesce(h.state, ''),
        left(regexp_replace(coalesce(h.query, ''), '\\s+', ' ', 'g'), 100)
    from pg_stat_activity w
        cross join lateral unnest(pg_blocking_pids(w.pid)) b(pid)
        left join pg_stat_activity h on h.pid = b.pid
    where w.wait_event_type = 'Lock' and w.datname = any($1)
        and clock_timestamp() - w.query_start > $2 * interval '1 s'
    order by w.pid, h.pid";

type LockWait = (
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

/// Runs while any test has a lane.
pub(super) async fn watch(server: Weak<Server>, active_tests: Arc<ActiveTests>) {
    let mut reported = BTreeSet::new();
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        let Some(databases) = active_tests.databases_in_use_longer_than(MIN_REPORTED_WAIT) else {
            return;
        };
        // The reference is weak while the task sleeps, so that it does not keep the server in use.
        let Some(server) = server.upgrade() else {
            return;
        };
        // One task for each test: a task that waits for the server delays neither the others nor
        // this loop. The task is aborted when the end of its test is over.
        active_tests.start_cancellers(STATEMENT_GRACE, |number, database| {
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
        match connect_and_query(&server, &databases).await {
            Ok(waits) => report(&waits, &active_tests, &mut reported),
            Err(error) => tracing::debug!(%error, "could not query lock waits"),
        }
    }
}

/// Cancels the statements on the database of an ending test. Dropping a statement's future does not
/// stop the statement: the server continues to execute it, and the close would wait.
async fn cancel(
    server: Arc<Server>,
    active_tests: Arc<ActiveTests>,
    number: u64,
    database: DatabaseName,
) {
    // Statements of the close itself contain `_ebbtide` and are spared.
    let cancel = concat!(
        "select pg_cancel_backend(pid) from pg_stat_activity \
         where datname = $1 and state = 'active' and query !~ '",
        own!(),
        "'"
    );
    // If the server does not answer, the close fails as well and reports that.
    if let Ok(mut admin) = server.admin().await {
        // Recorded before the cancellation is sent. Otherwise the close could receive
        // `query_canceled` first, and would take that code for an error of the connection.
        active_tests.record_cancellation(number);
        let _ = sqlx::query(cancel)
            .bind(database.as_str())
            .execute(&mut admin)
            .await;
        let _ = admin.close().await;
    }
}

async fn connect_and_query(
    server: &Server,
    databases: &[String],
) -> Result<Vec<LockWait>, sqlx::Error> {
    let conn = &server.conn;
    // Opened for each query and closed at once: on a server with few connections, a test may wait
    // for it.
    let mut connection = PgConnection::connect_with(&conn.own_options(conn.admin())).await?;
    let waits = query_lock_waits(&mut connection, databases).await;
    // Should closing fail, the rows are valid all the same.
    let _ = connection.close().await;
    waits
}

async fn query_lock_waits(
    connection: &mut PgConnection,
    databases: &[String],
) -> Result<Vec<LockWait>, sqlx::Error> {
    sqlx::query_as(LOCK_WAITS_QUERY)
        .bind(databases)
        .bind(MIN_REPORTED_WAIT.as_secs_f64())
        .fetch_all(connection)
        .await
}

#[expect(clippy::print_stderr, reason = "a report on what hangs")]
fn report(
    waits: &[LockWait],
    active_tests: &ActiveTests,
    reported: &mut BTreeSet<(i32, Option<i32>, String)>,
) {
    for (database, waiter, test, seconds, statement, holder, holder_name, state, last) in waits {
        // A wait that lasts is found in every round, and is reported once.
        if !reported.insert((*waiter, *holder, statement.clone())) {
            continue;
        }
        let holder_name = match holder_name {
            name if name == test => "another session of the same test",
            name if name.is_empty() => "a session without a name",
            name => name,
        };
        let text = format!(
            "{test} has waited {seconds:.1} s for a lock: {statement}\n  \
             {holder_name} holds it ({state}), last statement: {last}"
        );
        eprintln!("ebbtide: {text}");
        active_tests.record_wait(database, &text);
    }
}
