//! Processes that end in random ways and at random moments while they use a server.

use std::time::{Duration, Instant};

use crate::rounds;
use crate::support::process::{Process, assert_no_shared_memory};
use crate::support::{runs_natively, this_test};
use crate::testbed::Testbed;

/// About twice the time of a first start, with three rounds at the same time. So about half of the
/// processes end during the start, the others while they run transactions.
const MAX_DELAY: Duration = Duration::from_millis(1500);

#[test]
fn nothing_is_left_however_and_whenever_a_process_ends() {
    if !runs_natively(this_test!()) {
        return;
    }
    rounds::run(6, MAX_DELAY, |round| {
        let testbed = Testbed::without_cache()
            .linger(Duration::from_secs(1))
            .storage(round.storage);
        let mut worker = testbed.worker();
        worker.send(&round.command());
        // Collected repeatedly, so that short-lived processes such as `initdb` are included. The
        // test asserts at the end that none of them has left shared memory.
        let mut server_processes: Vec<Process> = Vec::new();
        let status = worker.end_while_polling(|| server_processes.extend(testbed.processes()));
        let ended = Instant::now();
        round.assert_ended(status, &testbed.path("worker.0"));
        server_processes.extend(testbed.processes());
        testbed.wait_until_nothing_is_left();
        let took = ended.elapsed();
        assert_no_shared_memory(&server_processes, &format!("{round:?}"));
        took
    });
}
