//! Several processes that use one container.

use std::time::{Duration, Instant};

use super::testbed::{ContainerTestbed, runs_on_containers};
use crate::support::{names_in, this_test, wait_until};
use crate::worker::sixteen_at_once;

/// How much longer than the linger the entrypoint waits, so that the supervisor retires first.
const RETIREMENT_GRACE: Duration = Duration::from_secs(2);

#[test]
fn sixteen_processes_at_once_start_one_container_and_build_one_template() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let testbed = ContainerTestbed::new();
    let workers = sixteen_at_once(|| testbed.worker());
    assert_eq!(testbed.containers().len(), 1);
    assert_eq!(testbed.base.supervisors().len(), 1);
    assert_eq!(
        names_in(&testbed.base.instances()[0].join("leases")).len(),
        16
    );
    drop(workers);
    testbed.wait_until_nothing_is_left();
}

#[test]
fn two_projects_with_the_same_server_settings_share_a_container() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let testbed = ContainerTestbed::new();
    let mut first = testbed.worker();
    assert_eq!(
        [first.execute("start"), first.execute("provision")],
        ["started", "built"]
    );
    let container = testbed.container();

    let migrations = testbed
        .base
        .write("other/1_other.sql", "create table other ();")
        .parent()
        .unwrap()
        .to_owned();
    let mut second = testbed.worker_with(&[("EBBTIDE_MIGRATIONS", migrations)]);
    assert_eq!(
        [second.execute("start"), second.execute("provision")],
        ["reused", "built"]
    );
    second.execute("open");
    assert_eq!(
        second.execute("query select count(*)::text from other"),
        "0"
    );
    assert_eq!(testbed.container(), container);

    let config = testbed
        .base
        .write("other.toml", "[server]\nsettings = { work_mem = \"5MB\" }");
    let mut third = testbed.worker_with(&[("EBBTIDE_CONFIG", config)]);
    assert_eq!(
        [third.execute("start"), third.execute("provision")],
        ["started", "built"]
    );
    third.execute("open");
    assert_eq!(
        third.execute("query select current_setting('work_mem')"),
        "5MB"
    );
    assert_eq!(testbed.containers().len(), 2);
    drop((first, second, third));
    testbed.wait_until_nothing_is_left();
}

#[test]
fn an_idle_process_keeps_the_container_running_longer_than_the_linger() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let linger = Duration::from_secs(1);
    let testbed = ContainerTestbed::with_linger(linger);
    let mut idle = testbed.worker();
    idle.execute("start");
    let container = testbed.container();
    let began = Instant::now();
    wait_until("three times the linger and the grace are over", || {
        assert_eq!(
            testbed.containers(),
            std::slice::from_ref(&container),
            "after {:?}",
            began.elapsed()
        );
        began.elapsed() > 3 * (linger + RETIREMENT_GRACE)
    });
    assert_eq!(testbed.base.instances().len(), 1);
    idle.execute("open");
    idle.end();
    let took = testbed.wait_until_nothing_is_left();
    assert!(
        took > linger,
        "the container ended before its linger was over: {took:?}"
    );
}

#[test]
fn a_kept_database_can_be_read_later_and_keeps_its_container_running() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let testbed = ContainerTestbed::new();
    let mut first = testbed.worker();
    first.execute("open");
    first.execute("run insert into things (name) values ('a thing to look at')");
    let url = first.execute("keep");
    first.end();
    let container = testbed.container();
    let began = Instant::now();
    wait_until("an unused container would have ended", || {
        assert_eq!(
            testbed.containers(),
            std::slice::from_ref(&container),
            "after {:?}",
            began.elapsed()
        );
        began.elapsed() > 3 * RETIREMENT_GRACE
    });
    let leases = names_in(&testbed.base.instances()[0].join("leases"));
    assert!(
        leases.len() == 1 && leases[0].starts_with("until."),
        "{leases:?}"
    );
    let mut reader = testbed.worker();
    assert_eq!(
        reader.execute(&format!("read {url} select name from things")),
        "a thing to look at"
    );
    assert_eq!(reader.execute("start"), "reused");
    reader.end();

    // A user who does not need the kept database any more can stop the container.
    testbed.daemon.stop(&container);
    testbed.wait_until_nothing_is_left();
}
