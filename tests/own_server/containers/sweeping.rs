//! Containers that were created and never started. They have no entrypoint that could end them, so
//! the next start removes them if their client is dead.

use serde_json::json;

use super::testbed::{ContainerTestbed, runs_on_containers};
use crate::support::process::Process;
use crate::support::{this_test, wait_until};

/// Creates a container with ebbtide's labels, in the name of a client process. Returns its id.
fn create_container(testbed: &ContainerTestbed, client: &str, owner: &str, image: &str) -> String {
    let (name, value) = owner.split_once('=').unwrap();
    let labels = json!({ "ebbtide.role": "server", name: value, "ebbtide.client": client });
    let body = json!({ "Image": image, "Labels": labels });
    testbed
        .daemon
        .request_ok("POST", "/containers/create", Some(&body))["Id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn the_next_start_removes_containers_of_dead_clients_and_no_others() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let (testbed, others) = (ContainerTestbed::new(), ContainerTestbed::new());
    let mut first = testbed.worker();
    first.execute("start");
    let image = &testbed.daemon.image_of(&testbed.container());
    first.end();
    testbed.wait_until_nothing_is_left();

    // The pid of this process with another start time: a process that has ended.
    let dead = Process::own().mark() + "0";
    let of_dead = [
        create_container(&testbed, &dead, &testbed.label, image),
        create_container(&testbed, "nonsense", &testbed.label, image),
    ];
    let of_living = create_container(&testbed, &Process::own().mark(), &testbed.label, image);
    let of_others = create_container(&others, &dead, &others.label, image);
    let mut next = testbed.worker();
    assert_eq!(next.execute("start"), "started");
    let left: Vec<String> = testbed
        .containers()
        .into_iter()
        .map(|container| container.id)
        .collect();
    assert!(!of_dead.iter().any(|id| left.contains(id)), "{left:?}");
    assert!(left.contains(&of_living), "{left:?}");
    assert_eq!(others.containers()[0].id, of_others);

    next.end();
    testbed.daemon.remove(&of_living);
    others.daemon.remove(&of_others);
    wait_until("nothing is left", || others.leftovers().is_empty());
    testbed.wait_until_nothing_is_left();
}
