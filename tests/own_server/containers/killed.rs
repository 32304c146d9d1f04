//! Clients that are killed before their container runs.
//!
//! A container ends itself when it is unused, but only after it has started. Until then the
//! supervisor removes it if the client is killed:
//!
//! ```text
//!   client                       engine                   a client that is killed here leaves
//!                                                         an instance directory
//!   POST /containers/create  ->  creates the container
//!                            <-  the container's id       and a container in the state "created"
//!   POST .../start           ->  starts the container     and a container that ends itself
//! ```

use std::time::Duration;

use super::testbed::{ContainerTestbed, runs_on_containers};
use crate::daemon::Container;
use crate::engine_proxy::{EngineProxy, Watch};
use crate::support::{this_test, wait_until};

/// A testbed whose workers and supervisors reach the engine through a proxy.
fn testbed_with_proxy(watch: Watch) -> (ContainerTestbed, EngineProxy) {
    // With data on disk, the container has an anonymous volume, which must be removed too.
    let testbed =
        ContainerTestbed::with_linger(Duration::from_secs(1)).with("EBBTIDE_STORAGE", "disk");
    let proxy = EngineProxy::on_socket(&testbed.base.path("proxy"), watch);
    let testbed = testbed.with("DOCKER_HOST", &proxy.daemon.url);
    (testbed, proxy)
}

/// Kills a worker as soon as the proxy has read its request. Returns the containers that exist
/// then.
fn kill_at_request(testbed: &ContainerTestbed, proxy: &EngineProxy) -> Vec<Container> {
    let mut worker = testbed.worker();
    worker.send("open");
    proxy.wait_until_seen();
    worker.kill();
    testbed.containers()
}

fn assert_nothing_is_left(testbed: &ContainerTestbed, made: &[Container]) {
    testbed.wait_until_nothing_is_left();
    for volume in made.iter().flat_map(|container| &container.volumes) {
        assert!(!testbed.daemon.has_volume(volume), "{volume}");
    }
}

#[test]
fn a_client_killed_between_creating_and_starting_leaves_no_container() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let (testbed, proxy) = testbed_with_proxy(Watch::Withhold("/start HTTP"));
    let made = kill_at_request(&testbed, &proxy);
    assert_eq!(
        (made.len(), &*made[0].state, made[0].volumes.len()),
        (1, "created", 1),
        "{made:?}"
    );
    assert_nothing_is_left(&testbed, &made);
}

#[test]
fn the_supervisor_removes_the_container_with_curl_if_there_is_no_docker_command() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let (testbed, proxy) = testbed_with_proxy(Watch::Withhold("/start HTTP"));
    let testbed = testbed.without_commands();
    let made = kill_at_request(&testbed, &proxy);
    assert_eq!((made.len(), &*made[0].state), (1, "created"), "{made:?}");
    assert_nothing_is_left(&testbed, &made);
}

#[test]
fn a_client_killed_while_the_engine_creates_the_container_leaves_none() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let (testbed, proxy) = testbed_with_proxy(Watch::Forward("/containers/create"));
    let made = kill_at_request(&testbed, &proxy);
    assert_nothing_is_left(&testbed, &made);
}

#[test]
fn a_client_killed_before_the_engine_gets_its_request_leaves_no_directory() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let (testbed, proxy) = testbed_with_proxy(Watch::Withhold("/containers/create"));
    let made = kill_at_request(&testbed, &proxy);
    assert_eq!(made, []);
    assert_nothing_is_left(&testbed, &made);
}

#[test]
fn a_client_killed_while_the_engine_starts_the_container_leaves_none() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let (testbed, proxy) = testbed_with_proxy(Watch::Forward("/start HTTP"));
    let made = kill_at_request(&testbed, &proxy);
    assert_eq!(made.len(), 1, "{made:?}");
    assert_nothing_is_left(&testbed, &made);
}

#[test]
fn if_the_supervisor_cannot_reach_the_engine_the_next_start_removes_the_container() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let (testbed, proxy) = testbed_with_proxy(Watch::Withhold("/start HTTP"));
    let made = kill_at_request(&testbed, &proxy);
    // The supervisor's attempts to remove the container fail too, because it uses the proxy.
    proxy.cut();
    wait_until("the supervisor has ended", || {
        testbed.base.leftovers().is_empty()
    });
    assert_eq!(testbed.containers().len(), 1);

    let mut next = testbed.worker_with(&[("DOCKER_HOST", testbed.daemon.url.clone().into())]);
    assert_eq!(next.execute("start"), "started");
    wait_until("the first container is gone", || {
        testbed
            .containers()
            .iter()
            .all(|found| found.id != made[0].id)
    });
    assert_eq!(next.end().code(), Some(0));
    assert_nothing_is_left(&testbed, &made);
}
