//! Servers whose data cannot be saved completely.

use rustix::process::{Resource, Rlimit, Signal, setrlimit};

use super::{assert_next_builds, testbed};
use crate::support::child_process::{assert_passed, child_role, test_command_as};
use crate::support::{runs_natively, this_test, wait_until};

#[test]
fn shells_that_are_killed_while_they_save_leave_no_half_file() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = testbed();
    // Each file is written by a later step.
    for (file, signal) in [
        ("not_joinable", Signal::KILL),
        ("templates", Signal::KILL),
        ("prepared", Signal::KILL),
        ("databases", Signal::TERM),
    ] {
        let mut worker = testbed.worker();
        worker.execute("start");
        let server = testbed.server();
        worker.execute("provision");
        assert_eq!(worker.end().code(), Some(0));
        let path = server.instance.join(file);
        wait_until("the step has begun, or the server is gone", || {
            path.exists() || !server.instance.exists()
        });
        if signal == Signal::KILL {
            server.kill_shells();
        } else if server.supervisor.is_alive() {
            server.supervisor.signal(signal);
        }
        // The next start removes what is left. It uses a file only if that is complete.
        let mut next = testbed.worker();
        assert_eq!(next.execute("start"), "started");
        next.execute("open");
        assert_eq!(next.execute("query select count(*)::text from things"), "0");
        next.kill();
        testbed.wait_until_nothing_is_left();
        for file in testbed.saved() {
            std::fs::remove_file(file).unwrap();
        }
    }
}

#[test]
fn a_file_that_cannot_be_written_completely_is_not_kept() {
    if !runs_natively(this_test!()) {
        return;
    }
    if child_role().is_none() {
        // In a child process, because the limit below holds for the whole process.
        let output = test_command_as("limited", this_test!()).output().unwrap();
        assert_passed(&output);
        return;
    }
    // The servers inherit the limit, and the system ends a program that writes more. No file of the
    // cluster is that large.
    let bytes = Some(20 << 20);
    let limit = Rlimit {
        current: bytes,
        maximum: bytes,
    };
    setrlimit(Resource::Fsize, limit).unwrap();
    let testbed = testbed();
    assert_next_builds(&testbed);
    assert!(testbed.saved().is_empty());
    assert_next_builds(&testbed);
}
