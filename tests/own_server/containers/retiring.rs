//! Processes that join a container at the moment when it retires.
//!
//! The supervisor on this machine and the entrypoint in the container decide independently: one
//! counts leases, the other counts connections. So a process can join between the two decisions.

use super::testbed::{ContainerTestbed, runs_on_containers};
use crate::joiners::{
    join_and_leave_repeatedly, join_one_after_another, start_joiners, wait_until_supervisor_retires,
};
use crate::support::{this_test, wait_until};

/// Which of the two retires before the processes join.
#[derive(Debug, Clone, Copy)]
enum RetiresFirst {
    /// The instance directory is deleted, and the container still runs.
    Supervisor,
    /// The server refuses connections, and the instance directory still has the file `serving`.
    Container,
}

#[test]
fn a_process_that_joins_while_the_supervisor_retires_gets_a_container_that_stays() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    join_at_retirement(RetiresFirst::Supervisor, [0, 4, 15]);
}

#[test]
fn a_process_that_joins_while_the_container_refuses_connections_gets_one_that_stays() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    join_at_retirement(RetiresFirst::Container, [0, 15, 60]);
}

/// Four processes join a container that begins to retire, each a few milliseconds after the one
/// before. All four must get a container that continues to run.
fn join_at_retirement(first: RetiresFirst, steps: [u64; 3]) {
    let testbed = ContainerTestbed::new();
    let mut holder = testbed.worker();
    holder.execute("start");
    for step in steps {
        let mut joiners = start_joiners(|| testbed.worker());
        wait_until("there is one instance", || {
            testbed.base.instances().len() == 1
        });
        let instance = testbed.base.instances().remove(0);
        let container = testbed.container();
        holder.kill();
        match first {
            RetiresFirst::Supervisor => wait_until_supervisor_retires(&instance),
            // The entrypoint sends itself this signal when the container is unused for long enough.
            RetiresFirst::Container => testbed.daemon.kill(&container, "USR1"),
        }
        join_one_after_another(&mut joiners, step);
        holder = joiners.swap_remove(0);
    }
    drop(holder);
    testbed.wait_until_nothing_is_left();
}

#[test]
fn processes_that_join_and_leave_repeatedly_never_lose_their_container() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let testbed = ContainerTestbed::new();
    let started = join_and_leave_repeatedly(|| testbed.worker(), 40);
    println!("containers started: {started:?}");
    testbed.wait_until_nothing_is_left();
}
