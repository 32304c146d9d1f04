//! Processes that join a container at the moment when it retires.
//!
//! The supervisor on this machine and the entrypoint in the container decide independently: one
//! counts leases, the other counts connections. So a process can join between the two decisions.

use std::time::{Duration, Instant};

use super::testbed::{ContainerTestbed, runs_on_containers};
use crate::support::wait::HANG_LIMIT;
use crate::support::{this_test, wait_until};
use crate::worker::Worker;

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
        // The processes already run, so that a join takes about a millisecond and no process start.
        let mut joiners: Vec<Worker> = std::iter::repeat_with(|| testbed.worker())
            .take(4)
            .collect();
        for joiner in &mut joiners {
            joiner.execute("wait");
        }
        wait_until("there is one instance", || {
            testbed.base.instances().len() == 1
        });
        let serving = testbed.base.instances()[0].join("serving");
        let container = testbed.container();
        holder.kill();
        match first {
            RetiresFirst::Supervisor => {
                let deadline = Instant::now() + HANG_LIMIT;
                while serving.exists() {
                    assert!(
                        Instant::now() < deadline,
                        "the supervisor must retire within {HANG_LIMIT:?}"
                    );
                    std::thread::yield_now();
                }
            }
            // The entrypoint sends itself this signal when the container is unused for long enough.
            RetiresFirst::Container => testbed.daemon.kill(&container, "USR1"),
        }
        for joiner in &mut joiners {
            joiner.send("open");
            // Not a wait for a condition: the delay itself is what the test varies.
            std::thread::sleep(Duration::from_millis(step));
        }
        for joiner in &mut joiners {
            joiner.answer().unwrap();
            assert_eq!(
                joiner.execute("query select count(*)::text from things"),
                "0",
                "{first:?} {step}"
            );
        }
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
    let mut workers: Vec<Worker> = std::iter::repeat_with(|| testbed.worker())
        .take(3)
        .collect();
    for worker in &mut workers {
        worker.send("joins 40");
    }
    let started: Vec<String> = workers
        .iter()
        .map(|worker| worker.answer().unwrap())
        .collect();
    println!("containers started: {started:?}");
    drop(workers);
    testbed.wait_until_nothing_is_left();
}
