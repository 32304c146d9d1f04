//! Workers that join a server at the moment when it retires, and workers that join and leave
//! repeatedly. A server is a process of this machine or a container.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::wait::HANG_LIMIT;
use crate::worker::Worker;

/// Starts four workers that have not joined yet.
///
/// Their processes already run, so that a join takes about a millisecond and no process start.
pub(crate) fn start_joiners(worker: impl FnMut() -> Worker) -> Vec<Worker> {
    let mut joiners: Vec<Worker> = std::iter::repeat_with(worker).take(4).collect();
    for joiner in &mut joiners {
        joiner.execute("wait");
    }
    joiners
}

/// Waits until a supervisor has renamed its file `serving`, which begins its retirement.
///
/// Polls without a pause: a pause of some milliseconds would miss most of a retirement.
#[track_caller]
pub(crate) fn wait_until_supervisor_retires(instance: &Path) {
    let deadline = Instant::now() + HANG_LIMIT;
    while instance.join("serving").exists() {
        assert!(
            Instant::now() < deadline,
            "the supervisor must retire within {HANG_LIMIT:?}"
        );
        std::thread::yield_now();
    }
}

/// Lets each worker join, a number of milliseconds after the one before. Asserts that all of them
/// get a server that continues to run.
#[track_caller]
pub(crate) fn join_one_after_another(joiners: &mut [Worker], step: u64) {
    for joiner in &mut *joiners {
        joiner.send("open");
        // Not a wait for a condition: the delay itself is what the test varies.
        std::thread::sleep(Duration::from_millis(step));
    }
    for joiner in joiners {
        joiner.answer().unwrap();
        assert_eq!(
            joiner.execute("query select count(*)::text from things"),
            "0",
            "{step} ms after the one before"
        );
    }
}

/// Three workers join a server and leave it repeatedly, and none of them may lose its server.
/// Returns how many servers each of them has started.
pub(crate) fn join_and_leave_repeatedly(worker: impl FnMut() -> Worker, times: u32) -> Vec<String> {
    let mut workers: Vec<Worker> = std::iter::repeat_with(worker).take(3).collect();
    for worker in &mut workers {
        worker.send(&format!("joins {times}"));
    }
    workers
        .iter()
        .map(|worker| worker.answer().unwrap())
        .collect()
}
