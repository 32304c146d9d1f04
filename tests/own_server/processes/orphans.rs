//! Supervisors, deputies and servers that are killed.
//!
//! ```text
//!   killed                        who continues
//!   supervisor                    the deputy becomes the supervisor
//!   deputy                        the supervisor starts another deputy
//!   both, the server is used      the next start of a process also starts a supervisor for it
//!   both, the server is unused    the next process ends the server and deletes its instance
//!   server                        the supervisor deletes the instance
//! ```

use std::time::Duration;

use rustix::process::Signal;

use crate::running_server::{RunningServer, has_living_shells};
use crate::support::process::{Process, assert_no_shared_memory};
use crate::support::{runs_natively, this_test, wait_until};
use crate::testbed::Testbed;
use crate::worker::Worker;

/// Asserts that the next process starts another server after a failure, and that nothing of the
/// first server is left. `disaster` returns the test's process, unless it has killed it.
fn assert_next_process_starts_another_server(
    storage: &'static str,
    disaster: impl FnOnce(&RunningServer, Worker, &Testbed) -> Option<Worker>,
) {
    let testbed = Testbed::new().storage(storage);
    let (first, lost) = testbed.server_in_use();
    let first = disaster(&lost, first, &testbed);

    let mut next = testbed.worker();
    assert_eq!(next.execute("start"), "started");
    next.execute("open");
    assert_eq!(next.execute("query select count(*)::text from things"), "0");
    drop(first);
    lost.wait_until_gone();
    let server = testbed.server();
    assert_ne!(server.identity(), lost.identity());
    next.end();
    server.wait_until_gone();
    testbed.wait_until_nothing_is_left();
}

/// Asserts that a test and the next process use the same server after `disaster` has killed the
/// server's shells. Asserts also that two shells watch the server again.
fn assert_next_process_joins(storage: &'static str, disaster: impl FnOnce(&RunningServer)) {
    let testbed = Testbed::new().storage(storage);
    let (mut first, server) = testbed.server_in_use();
    first.execute("run insert into things (name) values ('one')");
    disaster(&server);

    let mut next = testbed.worker();
    assert_eq!(next.execute("start"), "reused");
    next.execute("open");
    assert_eq!(
        next.execute("query select current_setting('ebbtide.identity')"),
        server.identity()
    );
    assert_eq!(
        first.execute("query select count(*)::text from things"),
        "1"
    );
    first.execute("close");
    drop(next);
    wait_until("two living shells watch the server", || {
        has_living_shells(&server.instance)
    });
    assert!(server.is_running());
    first.end();
    server.wait_until_gone();
    testbed.wait_until_nothing_is_left();
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of several disasters, after some of which there is no test"
)]
fn kill_all(server: &RunningServer, worker: Worker, _: &Testbed) -> Option<Worker> {
    server.kill_shells();
    server.postmaster.kill();
    Some(worker)
}

fn kill_the_test_and_both_shells(
    server: &RunningServer,
    worker: Worker,
    _: &Testbed,
) -> Option<Worker> {
    worker.kill();
    server.kill_shells();
    None
}

#[test]
fn a_test_and_the_next_process_continue_when_the_supervisor_is_killed() {
    if !runs_natively(this_test!()) {
        return;
    }
    assert_next_process_joins("memory", |server| server.supervisor.kill());
}

#[test]
fn a_server_whose_supervisor_and_deputy_are_killed_is_taken_over_while_a_test_uses_it() {
    if !runs_natively(this_test!()) {
        return;
    }
    assert_next_process_joins("memory", RunningServer::kill_shells);
    assert_next_process_joins("disk", RunningServer::kill_shells);
}

#[test]
fn a_process_with_other_settings_gives_an_orphaned_server_a_supervisor_and_starts_its_own() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new();
    let (mut first, server) = testbed.server_in_use();
    server.kill_shells();
    let config = testbed.write("other.toml", "[server]\nsettings = { work_mem = \"5MB\" }");
    let mut others = [
        testbed.worker_with(&[("EBBTIDE_CONFIG", config.clone())]),
        testbed.worker_with(&[("EBBTIDE_CONFIG", config)]),
    ];
    for other in &mut others {
        other.send("start");
    }
    for other in &others {
        other.answer().unwrap();
    }
    assert_eq!(
        first.execute("query select count(*)::text from things"),
        "0"
    );
    wait_until("each server has one supervisor and one deputy", || {
        testbed.shells().len() == 4
    });
    assert_eq!(testbed.supervisors().len(), 2);
    drop((first, others));
    server.wait_until_gone();
    testbed.wait_until_nothing_is_left();
}

#[test]
fn a_killed_deputy_is_replaced() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new();
    let (first, server) = testbed.server_in_use();
    let deputy = || std::fs::read_to_string(server.instance.join("deputy")).unwrap_or_default();
    // Read before the kill: the supervisor can write the next deputy's mark at once.
    let killed = deputy();
    server.deputy.kill();
    wait_until("there is another deputy", || deputy() != killed);
    assert!(server.supervisor.is_alive() && server.is_running());
    first.end();
    server.wait_until_gone();
    testbed.wait_until_nothing_is_left();
}

#[test]
fn a_server_without_a_test_ends_after_the_linger_although_its_supervisor_was_killed() {
    if !runs_natively(this_test!()) {
        return;
    }
    for storage in ["memory", "disk"] {
        let testbed = Testbed::new().storage(storage);
        let (first, server) = testbed.server_in_use();
        first.kill();
        server.supervisor.kill();
        server.wait_until_gone();
        testbed.wait_until_nothing_is_left();
    }
}

#[test]
fn an_orphaned_server_in_memory_is_swept() {
    if !runs_natively(this_test!()) {
        return;
    }
    assert_next_process_starts_another_server("memory", kill_the_test_and_both_shells);
}

#[test]
fn an_orphaned_server_on_disk_is_swept() {
    if !runs_natively(this_test!()) {
        return;
    }
    assert_next_process_starts_another_server("disk", kill_the_test_and_both_shells);
}

#[test]
fn data_in_memory_of_a_dead_server_without_a_supervisor_is_swept() {
    if !runs_natively(this_test!()) {
        return;
    }
    assert_next_process_starts_another_server("memory", kill_all);
}

#[test]
fn data_on_disk_of_a_dead_server_without_a_supervisor_is_swept() {
    if !runs_natively(this_test!()) {
        return;
    }
    assert_next_process_starts_another_server("disk", kill_all);
}

#[test]
fn a_dead_server_is_replaced_and_its_supervisor_cleans_up() {
    if !runs_natively(this_test!()) {
        return;
    }
    assert_next_process_starts_another_server("memory", |server, worker, _| {
        server.postmaster.kill();
        Some(worker)
    });
}

#[test]
fn a_server_that_is_killed_while_it_computes_leaves_no_process() {
    if !runs_natively(this_test!()) {
        return;
    }
    assert_next_process_starts_another_server("disk", |server, mut worker, testbed| {
        // A backend detects the end of the postmaster only where it waits. This statement only
        // computes.
        worker.send("run select from generate_series(1, 30000) a, generate_series(1, 30000) b where a + b < 0");
        let computes = |process: &Process| process.arguments[0].trim_end().ends_with("SELECT");
        wait_until("the statement runs", || {
            testbed.processes().iter().any(computes)
        });
        server.postmaster.kill();
        assert!(testbed.processes().iter().any(computes));
        Some(worker)
    });
}

#[test]
fn a_supervisor_that_receives_sigterm_ends_its_server() {
    if !runs_natively(this_test!()) {
        return;
    }
    assert_next_process_starts_another_server("memory", |server, worker, _| {
        server.supervisor.signal(Signal::TERM);
        server.wait_until_gone();
        Some(worker)
    });
}

#[test]
fn a_supervisor_killed_while_it_prepares_a_server_is_replaced() {
    if !runs_natively(this_test!()) {
        return;
    }
    std::thread::scope(|scope| {
        for delay in [0, 4, 30, 120, 400] {
            scope.spawn(move || supervisor_killed_after(delay));
        }
    });
}

#[test]
fn a_process_gets_a_server_although_the_supervisor_is_killed_while_it_prepares_one() {
    if !runs_natively(this_test!()) {
        return;
    }
    std::thread::scope(|scope| {
        for delay in [0, 60, 250, 500] {
            scope.spawn(move || {
                let testbed = Testbed::without_cache();
                let mut first = worker_whose_server_is_prepared(&testbed, delay);
                testbed.supervisors().iter().for_each(Process::kill);
                first.answer().unwrap();
                assert_eq!(
                    first.execute("query select count(*)::text from things"),
                    "0",
                    "after {delay} ms"
                );
                first.end();
                testbed.wait_until_nothing_is_left();
            });
        }
    });
}

/// A worker that opens a `Tx`, after its server's supervisor has run for a number of milliseconds.
fn worker_whose_server_is_prepared(testbed: &Testbed, delay: u64) -> Worker {
    let mut worker = testbed.worker();
    worker.send("open");
    wait_until("there is a supervisor", || {
        !testbed.supervisors().is_empty()
    });
    // Not a wait for a condition: the delay itself is what the test varies.
    std::thread::sleep(Duration::from_millis(delay));
    worker
}

/// Kills all shells a while after the start began, so that only the next process can clean up.
fn supervisor_killed_after(delay: u64) {
    let testbed = Testbed::without_cache();
    let first = worker_whose_server_is_prepared(&testbed, delay);
    let server_processes = testbed.processes();
    let shells = testbed.shells();
    for shell in &shells {
        shell.signal(Signal::KILL);
    }
    shells.iter().for_each(Process::kill);
    // Either an error or an answer is right: the server may have been ready before the signals.
    let _ = first.answer();

    let mut next = testbed.worker();
    next.execute("open");
    assert_eq!(
        next.execute("query select count(*)::text from things"),
        "0",
        "after {delay} ms"
    );
    drop((first, next));
    testbed.wait_until_nothing_is_left();
    assert_no_shared_memory(&server_processes, &format!("after {delay} ms"));
}
