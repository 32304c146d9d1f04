//! Drops that end half-way. PostgreSQL marks such a database invalid: it can be dropped, and neither used nor altered.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::scene::{Scene, wait_for};
use super::support::{here, natively};

const INVALID: i32 = -2;

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_that_was_interrupted_is_finished_by_the_next_process() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new().linger(Duration::from_mins(1));
    let mut puppet = scene.puppet();
    puppet.ask("open");
    let lane = puppet.ask("query select current_database()::text");
    let mut admin = scene.admin().await;

    // Its session ends with it.
    interrupt_drop(&scene, &mut admin, &lane).await;
    puppet.kill();
    let mut puppet = scene.puppet();
    puppet.ask("open");
    assert_eq!(puppet.ask("query select count(*)::text from things"), "0");
    assert_eq!(
        connection_limit(&mut admin, &lane).await,
        None,
        "{lane} is gone"
    );
    puppet.ask("close");
    assert!(puppet.end().success());

    // A template, and one that is being built.
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
    .await;
    let build = template.replace("_t_", "_b_") + "_0";
    run(&mut admin, &format!("create database {build}")).await;
    for name in [&template, &build] {
        interrupt_drop(&scene, &mut admin, name).await;
    }
    let mut puppet = scene.puppet();
    assert_eq!(puppet.ask("provision"), "built");
    assert_eq!(connection_limit(&mut admin, &template).await, Some(-1));
    assert_eq!(
        connection_limit(&mut admin, &build).await,
        None,
        "{build} is gone"
    );

    drop(puppet);
    admin.close().await.unwrap();
    scene.dismiss();
}

/// Ends the session that drops a database when the files are about to go. It waits for a session that is stopped.
async fn interrupt_drop(scene: &Scene, admin: &mut PgConnection, name: &str) {
    let [mut stopped, mut dropping] = [scene.admin().await, scene.admin().await];
    let stopped_pid = Pid::from_raw(pid(&mut stopped).await).unwrap();
    let dropping_pid = pid(&mut dropping).await;
    kill_process(stopped_pid, Signal::STOP).unwrap();
    let drop = AssertSqlSafe(format!("drop database {name} with (force)"));
    let dropped = tokio::spawn(async move { sqlx::raw_sql(drop).execute(&mut dropping).await });
    wait_for(
        admin,
        "select count(*) from pg_stat_activity where wait_event = 'ProcSignalBarrier'",
        1,
    )
    .await;
    run(
        admin,
        &format!("select pg_terminate_backend({dropping_pid})"),
    )
    .await;
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

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

/// Nothing where there is no such database.
async fn connection_limit(connection: &mut PgConnection, name: &str) -> Option<i32> {
    let limit = "select datconnlimit from pg_database where datname = $1";
    sqlx::query_scalar(limit)
        .bind(name)
        .fetch_optional(connection)
        .await
        .unwrap()
}
