//! The supervisor and the deputy of a server are killed at random moments, while a test uses the
//! server or before its process ends.

use std::time::{Duration, Instant};

use crate::rounds::{self, Round};
use crate::running_server::has_living_shells;
use crate::support::process::{Process, assert_no_shared_memory};
use crate::support::{runs_natively, this_test, wait_until};
use crate::testbed::Testbed;

/// About twice the time of a first start, with three rounds at the same time. So the moments are
/// during the start and after it.
const MAX_DELAY: Duration = Duration::from_millis(1500);

#[test]
fn nothing_is_left_and_no_test_fails_whenever_supervisors_are_killed() {
    if !runs_natively(this_test!()) {
        return;
    }
    rounds::run(6, MAX_DELAY, |round| {
        // With a prepared cluster: `orphans` and `killed` test what happens during `initdb`.
        let testbed = Testbed::new()
            .linger(Duration::from_secs(1))
            .storage(round.storage);
        let mut server_processes: Vec<Process> = Vec::new();
        let ended = match round.ending {
            "kill" | "abort" | "panic" => during_a_test(round, &testbed, &mut server_processes),
            _ => before_the_process_ends(round, &testbed, &mut server_processes),
        };
        testbed.wait_until_nothing_is_left();
        let took = ended.elapsed();
        assert_no_shared_memory(&server_processes, &format!("{round:?}"));
        took
    });
}

/// Kills one shell after the other while a test queries without a pause. No query may fail.
fn during_a_test(round: &Round, testbed: &Testbed, server_processes: &mut Vec<Process>) -> Instant {
    let mut test = testbed.worker();
    test.send("open");
    if round.ending == "kill" {
        kill_after(round.delay, testbed);
    }
    test.answer()
        .unwrap_or_else(|error| panic!("{round:?}: {error}"));
    for victim in ["owner", "deputy", "owner"] {
        let server = testbed.server();
        server_processes.extend(testbed.processes());
        let next = Instant::now() + round.delay / 3;
        while Instant::now() < next {
            assert_eq!(
                test.execute("query select count(*)::text from things"),
                "0",
                "{round:?}"
            );
        }
        let victim = if victim == "owner" {
            &server.supervisor
        } else {
            &server.deputy
        };
        victim.kill();
        wait_until("two living shells watch the server", || {
            assert_eq!(
                test.execute("query select count(*)::text from things"),
                "0",
                "{round:?}"
            );
            has_living_shells(&server.instance)
        });
        assert!(server.postmaster.is_alive(), "{round:?}");
    }
    test.end();
    Instant::now()
}

/// Kills the supervisor after half of the time until a process ends.
fn before_the_process_ends(
    round: &Round,
    testbed: &Testbed,
    server_processes: &mut Vec<Process>,
) -> Instant {
    let mut worker = testbed.worker();
    worker.send(&round.command());
    kill_after(round.delay / 2, testbed);
    let status = worker.end_while_polling(|| server_processes.extend(testbed.processes()));
    round.assert_ended(status, &testbed.path("worker.0"));
    Instant::now()
}

fn kill_after(delay: Duration, testbed: &Testbed) {
    // Not a wait for a condition: the delay itself is what the test varies.
    std::thread::sleep(delay);
    // At this moment there may be no supervisor, or none any more.
    testbed.supervisors().iter().for_each(Process::kill);
}
