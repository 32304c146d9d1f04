//! Processes that join a server at the moment when it retires.
//!
//! A client writes its lease and then looks for the file `serving`. The supervisor renames
//! `serving` to `retiring` and then looks for leases. So one of the two detects the other: either
//! the supervisor continues to serve, or the client starts another server.

use crate::joiners::{
    join_and_leave_repeatedly, join_one_after_another, start_joiners, wait_until_supervisor_retires,
};
use crate::support::{runs_natively, this_test};
use crate::testbed::Testbed;

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
        let mut joiners = start_joiners(|| testbed.worker());
        let server = testbed.server();
        holder.kill();
        wait_until_supervisor_retires(&server.instance);
        join_one_after_another(&mut joiners, step);
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
    let started = join_and_leave_repeatedly(|| testbed.worker(), 100);
    println!("servers started: {started:?}");
    testbed.wait_until_nothing_is_left();
}
