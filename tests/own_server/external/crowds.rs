//! Servers with fewer connections than the tests need.

use std::time::{Duration, Instant};

use ebbtide::ErrorKind;

use super::external_server::ExternalServer;
use crate::support::{this_test, wait_until};

#[tokio::test]
async fn tests_that_exceed_the_roles_connection_limit_take_turns() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external
        .create_role("app", "createdb connection limit 4")
        .await;
    let harness = external.builder(&url).build().unwrap();
    let tests = (0..12).map(|_| {
        let harness = harness.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                let mut tx = harness.tx().await.unwrap();
                sqlx::query("insert into things (name) values ('the one')")
                    .execute(&mut *tx)
                    .await
                    .unwrap();
                tx.close().await.unwrap();
            }
        })
    });
    // A test that waits until its timeout fails in `unwrap`.
    for test in tests.collect::<Vec<_>>() {
        test.await.unwrap();
    }
}

#[tokio::test]
async fn database_tests_that_exceed_the_roles_connection_limit_take_turns() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external
        .create_role("app", "createdb connection limit 12")
        .await;
    let harness = external.builder(&url).build().unwrap();
    let tests = (0..24).map(|_| {
        let harness = harness.clone();
        tokio::spawn(async move {
            let database = harness.database().await.unwrap();
            let pool = database.pool();
            let mut connections = Vec::new();
            for _ in 0..5 {
                connections.push(pool.acquire().await.unwrap());
            }
            sqlx::query("insert into things (name) values ('the one')")
                .execute(&mut *connections[4])
                .await
                .unwrap();
            drop(connections);
            database.close().await.unwrap();
        })
    });
    for test in tests.collect::<Vec<_>>() {
        test.await.unwrap();
    }
}

#[tokio::test]
async fn a_test_that_never_gets_a_connection_fails_with_the_number_that_it_needs() {
    let Some(external) =
        ExternalServer::start_with(this_test!(), "fsync = off\nmax_connections = 20", |_| ()).await
    else {
        return;
    };
    let url = external
        .create_role("app", "createdb connection limit 3")
        .await;
    let harness = external.builder(&url).build().unwrap();
    let open_tests = [harness.tx().await.unwrap(), harness.tx().await.unwrap()];
    let started_at = Instant::now();
    let error = harness
        .tx()
        .await
        .expect_err("two lanes and the lock connection use all three connections");
    let waited = started_at.elapsed();
    assert!(waited > Duration::from_secs(25), "{waited:?}");
    assert_eq!(error.kind(), ErrorKind::OutOfConnections, "{error:?}");
    // The server refuses a connection that copies a lane, or one that uses it. Which of them
    // depends on when the last copy was made.
    let report = format!("{error:?}");
    assert!(report.starts_with("connecting to "), "{report}");
    let reason = "caused by: too many connections for role \"app\"\n  help: this process needs \
                  up to 6 connections for 3 lanes and its own work; the server has 20 \
                  (max_connections), 3 of them for superusers, and the role app may have 3 \
                  (CONNECTION LIMIT): raise what is too low, close what else is connected, or run \
                  fewer tests at once";
    assert!(report.contains(reason), "{report}");
    for tx in open_tests {
        tx.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_start_waits_while_the_server_has_no_free_connection() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external
        .create_role("app", "createdb connection limit 0")
        .await;
    let harness = external.builder(&url).build().unwrap();
    let starting = tokio::spawn(async move { harness.start().await });
    // Polls the task once. From there the start runs on ebbtide's own thread, while `wait_until`
    // blocks this one.
    tokio::task::yield_now().await;
    wait_until("the server has refused a connection", || {
        external.log().contains("too many connections")
    });
    assert!(!starting.is_finished());
    external.run("alter role app connection limit -1").await;
    assert!(starting.await.unwrap().is_ok());
}
