//! Interrupted `DROP DATABASE` statements. PostgreSQL marks such a database as invalid: it can only
//! be dropped, and neither used nor altered.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::sql::run;
use crate::support::{runs_natively, this_test};
use crate::testbed::{Testbed, wait_for_count};

/// `pg_database.datconnlimit` of an invalid database.
/// <https://www.postgresql.org/docs/current/catalog-pg-database.html>
const INVALID: i32 = -2;

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_drop_is_finished_by_the_next_process() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new().linger(Duration::from_mins(1));
    let mut worker = testbed.worker();
    worker.execute("open");
    let lane = worker.execute("query select current_database()::text");
    let mut admin = testbed.admin().await;

    // `with (force)` ends the worker's session. The lane is invalid afterwards.
    interrupt_drop(&testbed, &mut admin, &lane).await;
    worker.kill();
    let mut worker = testbed.worker();
    worker.execute("open");
    assert_eq!(
        worker.execute("query select count(*)::text from things"),
        "0"
    );
    assert_eq!(
        connection_limit(&mut admin, &lane).await,
        None,
        "{lane} is gone"
    );
    worker.execute("close");
    assert!(worker.end().success());

    // The template, and a database under the name of a template that is being built.
    let named =
        "select datname::text from pg_database where starts_with(datname::text, 'ebbtide_t_')";
    let template: String = sqlx::query_scalar(named)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    run(
        &mut admin,
        &format!("alter database {template} is_template false"),
    )
    .await
    .unwrap();
    let build = template.replace("_t_", "_b_") + "_0";
    run(&mut admin, &format!("create database {build}"))
        .await
        .unwrap();
    for name in [&template, &build] {
        interrupt_drop(&testbed, &mut admin, name).await;
    }
    let mut worker = testbed.worker();
    assert_eq!(worker.execute("provision"), "built");
    assert_eq!(connection_limit(&mut admin, &template).await, Some(-1));
    assert_eq!(
        connection_limit(&mut admin, &build).await,
        None,
        "{build} is gone"
    );

    drop(worker);
    admin.close().await.unwrap();
    testbed.end_servers();
}

/// Terminates a session while its `DROP DATABASE` waits, so that the database stays invalid.
///
/// `DROP DATABASE` marks the database as invalid, then waits until every backend has closed its
/// files (wait event `ProcSignalBarrier`), then deletes the files. A backend that is stopped by
/// SIGSTOP does not answer, so the statement waits, and the session can be terminated at that
/// point.
async fn interrupt_drop(testbed: &Testbed, admin: &mut PgConnection, name: &str) {
    let [mut stopped, mut dropping] = [testbed.admin().await, testbed.admin().await];
    let stopped_pid = Pid::from_raw(pid(&mut stopped).await).unwrap();
    let dropping_pid = pid(&mut dropping).await;
    kill_process(stopped_pid, Signal::STOP).unwrap();
    let drop = AssertSqlSafe(format!("drop database {name} with (force)"));
    let dropped = tokio::spawn(async move { sqlx::raw_sql(drop).execute(&mut dropping).await });
    wait_for_count(
        admin,
        "select count(*) from pg_stat_activity where wait_event = 'ProcSignalBarrier'",
        1,
    )
    .await;
    run(
        admin,
        &format!("select pg_terminate_backend({dropping_pid})"),
    )
    .await
    .unwrap();
    assert!(dropped.await.unwrap().is_err());
    kill_process(stopped_pid, Signal::CONT).unwrap();
    stopped.close().await.unwrap();
    assert_eq!(
        connection_limit(admin, name).await,
        Some(INVALID),
        "{name} is invalid"
    );
}

async fn pid(connection: &mut PgConnection) -> i32 {
    sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(connection)
        .await
        .unwrap()
}

/// Returns `None` if there is no such database.
async fn connection_limit(connection: &mut PgConnection, name: &str) -> Option<i32> {
    let limit = "select datconnlimit from pg_database where datname = $1";
    sqlx::query_scalar(limit)
        .bind(name)
        .fetch_optional(connection)
        .await
        .unwrap()
}
