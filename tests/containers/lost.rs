//! Containers and keepers that are killed from outside.

use std::time::Duration;

use ebbtide::ErrorKind;

use super::stage::{Stage, contained};
use super::support::{here, wait_until};

#[tokio::test]
async fn a_test_whose_container_is_killed_is_told_and_the_next_harness_starts_another() {
    if !contained(here!()) {
        return;
    }
    let stage = Stage::new();
    let harness = stage.builder().build().unwrap();
    let mut tx = harness.tx().await.unwrap();
    let lost = stage.container();
    stage.daemon.kill(&lost, "KILL");
    let failed = sqlx::raw_sql("insert into things (name) values ('the one')")
        .execute(&mut *tx)
        .await;
    assert!(failed.is_err());
    for error in [
        tx.close().await.unwrap_err(),
        harness.tx().await.unwrap_err(),
    ] {
        let report = format!("{error:?}");
        assert_eq!(error.kind(), ErrorKind::ServerLost, "{report}");
        let beginning = "the PostgreSQL server went away while it was in use\n  caused by: ";
        assert!(report.starts_with(beginning), "{report}");
        for text in [
            "\n  the container:\n    ebbtide-",
            &stage.daemon.url,
            "killed from outside",
            "\n  help: run ",
        ] {
            assert!(report.contains(text), "{text:?} is missing in {report}");
        }
    }

    let next = stage.builder().build().unwrap();
    assert!(!next.start().await.unwrap().reused);
    let mut tx = next.tx().await.unwrap();
    let count: i64 = sqlx::query_scalar("select count(*) from things")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(count, 0);
    assert_ne!(stage.container().id, lost.id);
    tx.close().await.unwrap();
    drop((harness, next));
    stage.wait_until_nothing_is_left();
}

#[test]
fn without_its_keeper_a_container_serves_on_and_goes_by_itself_and_the_next_start_sweeps_the_directory()
 {
    if !contained(here!()) {
        return;
    }
    let stage = Stage::with_linger(Duration::from_secs(1));
    let mut first = stage.puppet();
    first.ask("open");
    let container = stage.container();
    assert_eq!(stage.scene.supervisors().len(), 1);
    // The keeper and its deputy, before one can take over from the other.
    let shells = stage.scene.shells();
    for shell in &shells {
        shell.signal(rustix::process::Signal::KILL);
    }
    for shell in &shells {
        shell.kill();
    }
    first.ask("close");
    first.ask("open");
    assert_eq!(first.ask("query select count(*)::text from things"), "0");
    assert_eq!(first.end().code(), Some(0));
    stage.wait_until_gone(&container);
    let orphaned = stage.scene.instances();
    assert_eq!(orphaned.len(), 1, "{orphaned:?}");

    let mut next = stage.puppet();
    assert_eq!(next.ask("start"), "started");
    assert!(!orphaned[0].exists());
    next.end();
    stage.wait_until_nothing_is_left();
}

#[test]
fn a_keeper_that_is_told_to_end_leaves_the_container_to_its_users() {
    if !contained(here!()) {
        return;
    }
    let stage = Stage::new();
    let mut first = stage.puppet();
    first.ask("open");
    stage
        .scene
        .supervisors()
        .iter()
        .for_each(|keeper| keeper.signal(rustix::process::Signal::TERM));
    wait_until("the directory is gone", || {
        stage.scene.instances().is_empty()
    });
    assert_eq!(first.ask("query select count(*)::text from things"), "0");
    let mut next = stage.puppet();
    assert_eq!(next.ask("start"), "started");
    assert_eq!(stage.containers().len(), 2);
    drop((first, next));
    stage.wait_until_nothing_is_left();
}
