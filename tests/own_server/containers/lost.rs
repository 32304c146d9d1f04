//! Containers and supervisors that are killed.

use std::time::Duration;

use ebbtide::ErrorKind;

use super::testbed::{ContainerTestbed, runs_on_containers};
use crate::support::{this_test, wait_until};

#[tokio::test]
async fn a_test_whose_container_is_killed_gets_an_error_and_the_next_harness_starts_another() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let testbed = ContainerTestbed::new();
    let harness = testbed.builder().build().unwrap();
    let mut tx = harness.tx().await.unwrap();
    let lost = testbed.container();
    testbed.daemon.kill(&lost, "KILL");
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
        let beginning = "the PostgreSQL server was lost while it was in use\n  caused by: ";
        assert!(report.starts_with(beginning), "{report}");
        for text in [
            "\n  the container:\n    ebbtide-",
            &testbed.daemon.url,
            "killed from outside",
            "\n  help: run ",
        ] {
            assert!(report.contains(text), "{text:?} is missing in {report}");
        }
    }

    let next = testbed.builder().build().unwrap();
    assert!(!next.start().await.unwrap().reused);
    let mut tx = next.tx().await.unwrap();
    let count: i64 = sqlx::query_scalar("select count(*) from things")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(count, 0);
    assert_ne!(testbed.container().id, lost.id);
    tx.close().await.unwrap();
    drop((harness, next));
    testbed.wait_until_nothing_is_left();
}

#[test]
fn a_container_without_a_supervisor_ends_itself_and_the_next_start_sweeps_its_directory() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let testbed = ContainerTestbed::with_linger(Duration::from_secs(1));
    let mut first = testbed.worker();
    first.execute("open");
    let container = testbed.container();
    assert_eq!(testbed.base.supervisors().len(), 1);
    // The supervisor and its deputy get the signal before one of them can replace the other.
    let shells = testbed.base.shells();
    for shell in &shells {
        shell.signal(rustix::process::Signal::KILL);
    }
    for shell in &shells {
        shell.kill();
    }
    first.execute("close");
    first.execute("open");
    assert_eq!(
        first.execute("query select count(*)::text from things"),
        "0"
    );
    assert_eq!(first.end().code(), Some(0));
    testbed.wait_until_gone(&container);
    let orphaned = testbed.base.instances();
    assert_eq!(orphaned.len(), 1, "{orphaned:?}");

    let mut next = testbed.worker();
    assert_eq!(next.execute("start"), "started");
    assert!(!orphaned[0].exists());
    next.end();
    testbed.wait_until_nothing_is_left();
}

#[test]
fn a_supervisor_that_receives_sigterm_does_not_end_a_container_in_use() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let testbed = ContainerTestbed::new();
    let mut first = testbed.worker();
    first.execute("open");
    testbed
        .base
        .supervisors()
        .iter()
        .for_each(|supervisor| supervisor.signal(rustix::process::Signal::TERM));
    wait_until("the directory is gone", || {
        testbed.base.instances().is_empty()
    });
    assert_eq!(
        first.execute("query select count(*)::text from things"),
        "0"
    );
    let mut next = testbed.worker();
    assert_eq!(next.execute("start"), "started");
    assert_eq!(testbed.containers().len(), 2);
    drop((first, next));
    testbed.wait_until_nothing_is_left();
}
