//! The ways in which a process can end while it uses a server through the static harness.

use crate::support::{runs_natively, this_test};
use crate::testbed::Testbed;
use crate::worker::Worker;

/// The exit code of a worker that ends by a command.
fn end_by(command: &str, mut worker: Worker) -> Option<i32> {
    worker.send(command);
    worker.end().code()
}

#[test]
fn nothing_is_left_however_processes_end_within_a_transaction() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new();
    let in_transaction = || {
        let mut worker = testbed.worker();
        worker.execute("open");
        worker.execute("run insert into things (name) values ('one')");
        worker
    };
    let [returns, panics, aborts, interrupted] = [(); 4].map(|()| in_transaction());
    let server = testbed.server();
    assert_eq!(returns.end().code(), Some(0));
    assert_eq!(end_by("panic", panics), Some(101));
    assert_eq!(end_by("abort", aborts), None);
    assert!(server.is_running());
    interrupted.interrupt();
    assert_eq!(interrupted.end().code(), None);
    server.wait_until_gone();
    testbed.wait_until_nothing_is_left();
}
