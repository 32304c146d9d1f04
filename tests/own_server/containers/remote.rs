//! An engine at a TCP address, and what happens when the connection to it is lost.

use super::testbed::{ContainerTestbed, runs_on_containers};
use crate::engine_proxy::EngineProxy;
use crate::support::this_test;

#[test]
fn the_loss_of_an_engine_at_a_tcp_address_affects_only_processes_that_start_a_server() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let proxy = EngineProxy::on_port();
    let testbed = ContainerTestbed::new().with("DOCKER_HOST", &proxy.daemon.url);
    let mut first = testbed.worker();
    assert_eq!(
        [first.execute("start"), first.execute("provision")],
        ["started", "built"]
    );
    first.execute("open");
    first.execute("run insert into things (name) values ('the one')");
    testbed.container();

    proxy.cut();
    // A running test has a connection to PostgreSQL only.
    assert_eq!(first.execute("query select name from things"), "the one");
    first.execute("close");
    first.execute("open");
    assert_eq!(
        first.execute("query select count(*)::text from things"),
        "0"
    );
    // So has a new process that finds the server in the state directory.
    let mut second = testbed.worker();
    assert_eq!(
        [second.execute("start"), second.execute("provision")],
        ["reused", "reused"]
    );
    second.execute("open");
    // A process that needs another server gets an error.
    let config = testbed
        .base
        .write("other.toml", "[server]\nsettings = { work_mem = \"5MB\" }");
    let mut third = testbed.worker_with(&[("EBBTIDE_CONFIG", config)]);
    third.send("start");
    let refusal = third.answer().unwrap_err();
    let beginning = "the container engine that DOCKER_HOST names does not answer |   tried: |     ";
    assert!(
        refusal.starts_with(beginning) && refusal.contains(&proxy.daemon.url),
        "{refusal}"
    );
    // Without the engine, the container detects that it has no connection, and the supervisor
    // detects that there is no lease.
    drop((first, second, third));
    testbed.wait_until_nothing_is_left();
}

#[test]
fn a_kept_database_of_an_engine_at_a_tcp_address_needs_no_docker_command() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let proxy = EngineProxy::on_port();
    let testbed = ContainerTestbed::new()
        .without_commands()
        .with("DOCKER_HOST", &proxy.daemon.url);
    let mut first = testbed.worker();
    first.execute("open");
    first.execute("run insert into things (name) values ('a thing to look at')");
    let url = first.execute("keep");
    first.end();
    let mut reader = testbed.worker();
    assert_eq!(
        reader.execute(&format!("read {url} select name from things")),
        "a thing to look at"
    );
    reader.end();
    testbed.daemon.stop(&testbed.container());
    testbed.wait_until_nothing_is_left();
}
