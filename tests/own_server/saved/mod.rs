//! The templates that a native server saves when it ends, and with which the next server starts.

mod interrupted;
mod refused;
mod restored;

use crate::testbed::Testbed;
use crate::worker::Worker;

/// A testbed whose servers save their data. The first migration stores the time of its execution,
/// so [`time_of_build`] shows whether it was executed again.
fn testbed() -> Testbed {
    let testbed = Testbed::new().saving();
    testbed.write(
        "migrations/2_build.sql",
        "create table build as select clock_timestamp()::text as at;",
    );
    testbed
}

/// Provisions, asserts how, and returns the time when the template was built.
#[track_caller]
fn time_of_build(worker: &mut Worker, how: &str) -> String {
    assert_eq!(worker.execute("provision"), how);
    worker.execute("open");
    let time = worker.execute("query select at from build");
    worker.execute("close");
    time
}

/// Ends the process, and waits until its server has saved its data and everything else is gone.
#[track_caller]
fn end(testbed: &Testbed, worker: Worker) {
    assert_eq!(worker.end().code(), Some(0));
    testbed.wait_until_nothing_is_left();
}

/// Asserts that the next server of the testbed starts, and builds its template.
#[track_caller]
fn assert_next_builds(testbed: &Testbed) {
    let mut next = testbed.worker();
    assert_eq!(next.execute("start"), "started");
    time_of_build(&mut next, "built");
    end(testbed, next);
}
