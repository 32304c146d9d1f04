//! Several processes that use one server.

use std::time::{Duration, Instant};

use crate::support::{names_in, runs_natively, this_test, wait_until};
use crate::testbed::Testbed;
use crate::worker::{Worker, sixteen_at_once};

const LONG_LINGER: Duration = Duration::from_secs(20);

fn identity(worker: &mut Worker) -> String {
    worker.execute("open");
    let identity = worker.execute("query select current_setting('ebbtide.identity')");
    worker.execute("close");
    identity
}

#[test]
fn sixteen_processes_at_once_start_one_server_and_build_one_template() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new();
    let workers = sixteen_at_once(|| testbed.worker());
    let server = testbed.server();
    assert_eq!(testbed.postmasters().len(), 1);
    assert_eq!(testbed.supervisors().len(), 1);
    assert_eq!(names_in(&server.instance.join("leases")).len(), 16);
    drop(workers);
    server.wait_until_gone();
    testbed.wait_until_nothing_is_left();
}

#[test]
fn the_next_process_reuses_a_server_and_a_template_that_match() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new().linger(LONG_LINGER);
    let mut first = testbed.worker();
    assert_eq!(
        [first.execute("start"), first.execute("provision")],
        ["started", "built"]
    );
    let server = identity(&mut first);
    assert_eq!(server, testbed.server().identity());
    first.end();

    let mut second = testbed.worker();
    assert_eq!(
        [second.execute("start"), second.execute("provision")],
        ["reused", "reused"]
    );
    assert_eq!(identity(&mut second), server);
    second.end();

    let migrations = testbed
        .write("other/1_other.sql", "create table other ();")
        .parent()
        .unwrap()
        .to_owned();
    let mut third = testbed.worker_with(&[("EBBTIDE_MIGRATIONS", migrations)]);
    assert_eq!(
        [third.execute("start"), third.execute("provision")],
        ["reused", "built"]
    );
    assert_eq!(identity(&mut third), server);

    let config = testbed.write("other.toml", "[server]\nsettings = { work_mem = \"5MB\" }");
    let mut fourth = testbed.worker_with(&[("EBBTIDE_CONFIG", config)]);
    assert_eq!(
        [fourth.execute("start"), fourth.execute("provision")],
        ["started", "built"]
    );
    assert_ne!(identity(&mut fourth), server);
    assert_eq!(testbed.postmasters().len(), 2);
    drop((third, fourth));
    testbed.end_servers();
}

#[test]
fn an_idle_process_keeps_the_server_running_longer_than_the_linger() {
    if !runs_natively(this_test!()) {
        return;
    }
    let linger = Duration::from_secs(1);
    let testbed = Testbed::new().linger(linger);
    let mut idle = testbed.worker();
    idle.execute("start");
    let server = testbed.server();
    let began = Instant::now();
    wait_until("three times the linger is over", || {
        assert!(server.is_running(), "after {:?}", began.elapsed());
        began.elapsed() > 3 * linger
    });
    idle.end();
    let ended = Instant::now();
    server.wait_until_gone();
    let took = ended.elapsed();
    assert!(
        took > linger / 2,
        "the server ended before its linger was over: {took:?}"
    );
    assert!(took < linger + Duration::from_secs(9), "{took:?}");
}

#[test]
fn a_kept_database_can_be_read_later_and_keeps_its_server_running() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new();
    let mut first = testbed.worker();
    first.execute("open");
    first.execute("run insert into things (name) values ('a thing to look at')");
    let url = first.execute("keep");
    let server = testbed.server();
    first.end();
    let leases = server.instance.join("leases");
    wait_until(
        "the supervisor has deleted the lease of the ended process",
        || names_in(&leases).len() == 1,
    );
    let lease = names_in(&leases).remove(0);
    assert!(lease.starts_with("until."), "{lease}");

    let mut reader = testbed.worker();
    assert_eq!(
        reader.execute(&format!("read {url} select name from things")),
        "a thing to look at"
    );
    reader.end();
    assert!(server.is_running());
    std::fs::remove_file(leases.join(lease)).unwrap();
    server.wait_until_gone();
    testbed.wait_until_nothing_is_left();
}

#[test]
fn a_lane_is_never_used_by_two_processes_at_once() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new();
    let mut workers: Vec<Worker> = std::iter::repeat_with(|| testbed.worker())
        .take(6)
        .collect();
    for worker in &mut workers {
        worker.send("transactions 20");
    }
    for worker in &workers {
        assert_eq!(worker.answer().as_deref(), Ok("20"));
    }
    drop(workers);
    testbed.wait_until_nothing_is_left();
}
