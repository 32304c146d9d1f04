//! Fewer connections than somebody wants.

use std::time::{Duration, Instant};

use ebbtide::ErrorKind;

use super::outside::{Outside, undisturbed};
use super::support::{here, wait_until};

#[tokio::test]
async fn more_tests_than_connections_take_turns() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb connection limit 4").await;
    let harness = outside.builder(&url).build().unwrap();
    let began = Instant::now();
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
    for test in tests.collect::<Vec<_>>() {
        test.await.unwrap();
    }
    assert!(
        began.elapsed() < Duration::from_secs(25),
        "nobody waited in vain: {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn more_databases_than_the_role_has_connections_for_take_turns() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb connection limit 12").await;
    let harness = outside.builder(&url).build().unwrap();
    let tests = (0..24).map(|_| {
        let harness = harness.clone();
        tokio::spawn(async move {
            let database = harness.database().await.unwrap();
            let pool = database.pool();
            let mut all = Vec::new();
            for _ in 0..5 {
                all.push(pool.acquire().await.unwrap());
            }
            sqlx::query("insert into things (name) values ('the one')")
                .execute(&mut *all[4])
                .await
                .unwrap();
            drop(all);
            database.close().await.unwrap();
        })
    });
    for test in tests.collect::<Vec<_>>() {
        test.await.unwrap();
    }
}

#[tokio::test]
async fn a_test_that_never_gets_a_connection_learns_how_many_are_needed() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::with("fsync = off\nmax_connections = 20", |_| ()).await else {
        return;
    };
    let url = outside.role("app", "createdb connection limit 3").await;
    let harness = outside.builder(&url).build().unwrap();
    let held = [harness.tx().await.unwrap(), harness.tx().await.unwrap()];
    let began = Instant::now();
    let error = harness
        .tx()
        .await
        .expect_err("two lanes and the locks take all three");
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(25) && took < Duration::from_secs(45),
        "{took:?}"
    );
    assert_eq!(error.kind(), ErrorKind::OutOfConnections, "{error:?}");
    // To copy a lane or to use it: which of the two is refused depends on when the last copy was made.
    let report = format!("{error:?}");
    assert!(report.starts_with("connecting to "), "{report}");
    let reason = "caused by: too many connections for role \"app\"\n  help: this process needs up to 6 connections for 3 lanes and \
                  its own work; the server has 20 (max_connections), 3 of them for superusers, and the role app may have 3 \
                  (CONNECTION LIMIT): raise what is too low, close what else is connected, or run fewer tests at once";
    assert!(report.contains(reason), "{report}");
    for tx in held {
        tx.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_is_full_at_the_start_is_waited_for() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb connection limit 0").await;
    let harness = outside.builder(&url).build().unwrap();
    let starting = tokio::spawn(async move { harness.start().await });
    // The start goes on in the background from here.
    tokio::task::yield_now().await;
    wait_until("the server has refused it", || {
        outside.log().contains("too many connections")
    });
    assert!(!starting.is_finished());
    outside.run("alter role app connection limit -1").await;
    assert!(starting.await.unwrap().is_ok());
}
