//! Processes that join a server at the moment when it retires.
//!
//! A client writes its lease and then looks for the file `serving`. The supervisor renames
//! `serving` to `retiring` and then looks for leases. So one of the two detects the other: either
//! the supervisor continues to serve, or the client starts another server.

use std::time::{Duration, Instant};

use crate::support::wait::HANG_LIMIT;
use crate::support::{runs_natively, this_test};
use crate::testbed::Testbed;
use crate::worker::Worker;

#[test]
fn a_process_that_joins_a_retiring_server_gets_one_that_stays() {
    if !runs_natively(this_test!()) {
        return;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| join_at_retirement([0, 3, 6, 9]));
        scope.spawn(|| join_at_retirement([1, 5, 12, 20]));
    });
}

/// Four processes join a server that begins to retire, each a few milliseconds after the one
/// before.
///
/// All four must get a server that continues to run. The steps spread the joins over the time
/// before, during and after the deletion of the instance.
fn join_at_retirement(steps: [u64; 4]) {
    let testbed = Testbed::new();
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
        let server = testbed.server();
        holder.kill();
        let deadline = Instant::now() + HANG_LIMIT;
        while server.instance.join("serving").exists() {
            assert!(
                Instant::now() < deadline,
                "the server must retire within {HANG_LIMIT:?}"
            );
            std::thread::yield_now();
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
                "0"
            );
        }
        // It may be the same server: the supervisor continues if a lease was written in time.
        assert!(testbed.server().is_running());
        holder = joiners.swap_remove(0);
    }
    drop(holder);
    testbed.wait_until_nothing_is_left();
}

#[test]
fn processes_that_join_and_leave_repeatedly_never_lose_their_server() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new();
    let mut workers: Vec<Worker> = std::iter::repeat_with(|| testbed.worker())
        .take(3)
        .collect();
    for worker in &mut workers {
        worker.send("joins 100");
    }
    let started: Vec<String> = workers
        .iter()
        .map(|worker| worker.answer().unwrap())
        .collect();
    println!("servers started: {started:?}");
    drop(workers);
    testbed.wait_until_nothing_is_left();
}
