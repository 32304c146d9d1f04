//! Forks and checkpoints on a server that outlives its clients.

use ebbtide::{Database, ErrorKind};
use sqlx::{Connection as _, PgConnection};

use super::external_server::ExternalServer;
use crate::support::pool_sql::{number, run};
use crate::support::this_test;
use crate::worker::Worker;

/// The databases of forks and checkpoints.
const COPIES: &str = "select datname::text from pg_database where datname like 'ebbtide\\_l\\_%' \
     and split_part(datname::text, '_', 4)::int >= 64";

async fn things(database: &Database) -> i64 {
    number(&database.pool(), "select count(*) from things").await
}

#[tokio::test]
async fn a_role_with_only_createdb_copies_databases_without_other_sessions() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let harness = external.builder(&url).build().unwrap();
    let source = harness.database().await.unwrap();
    let insert = "insert into things (name) values ('one')";
    run(&source.pool(), insert).await;
    let (one, fork) = (
        source.checkpoint().await.unwrap(),
        source.fork().await.unwrap(),
    );
    run(&source.pool(), "create table extra (); delete from things").await;
    assert_eq!((things(&source).await, things(&fork).await), (0, 1));

    let mut open = PgConnection::connect(source.url()).await.unwrap();
    sqlx::raw_sql("set application_name = 'watcher'")
        .execute(&mut open)
        .await
        .unwrap();
    let error = source.fork().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fork);
    let report = format!("{error:?}");
    assert!(
        report.contains("only a superuser may copy a database"),
        "{report}"
    );
    assert!(report.contains("'watcher' (app), idle"), "{report}");
    source.rewind_to(&one).await.unwrap();
    sqlx::query("select 1")
        .execute(&mut open)
        .await
        .expect_err("the session has ended");
    assert_eq!(things(&source).await, 1);
    let again = source.fork().await.unwrap();
    assert_eq!(things(&again).await, 1);
    drop((again, fork, one));
    source.close().await.unwrap();
    external
        .wait_until("the copies are dropped", COPIES, <[String]>::is_empty)
        .await;
    let mut tx = harness.tx().await.unwrap();
    let left: i64 = sqlx::query_scalar("select count(*) from things")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(left, 0);
    tx.close().await.unwrap();
}

#[tokio::test]
async fn forks_of_a_killed_process_are_dropped_by_the_next_one() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let worker = |name: &str| {
        let errors = external.scratch.path(&format!("{name}.log"));
        Worker::start(
            |command| external.set_environment(command, &url, "north"),
            errors,
        )
    };
    let mut killed = worker("killed");
    for command in ["database", "fork", "checkpoint"] {
        killed.execute(command);
    }
    assert_eq!(external.list(COPIES).await.len(), 2);
    killed.kill();
    // The server releases the locks when it notices the end.
    let locks = "select pid::text from pg_locks where locktype = 'advisory'";
    external
        .wait_until("the locks are free", locks, <[String]>::is_empty)
        .await;
    let mut next = worker("next");
    next.execute("open");
    assert_eq!(external.list(COPIES).await, [""; 0]);
}
