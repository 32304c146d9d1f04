//! Processes that end in random ways and at random moments while they use a container.

use std::time::{Duration, Instant};

use super::testbed::{ContainerTestbed, runs_on_containers};
use crate::rounds;
use crate::support::this_test;

/// About twice the time of a first start, with three rounds at the same time. So about half of the
/// processes end during the start, the others while they run transactions.
const MAX_DELAY: Duration = Duration::from_secs(5);

#[test]
fn nothing_is_left_however_and_whenever_a_process_ends() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    rounds::run(6, MAX_DELAY, |round| {
        let testbed = ContainerTestbed::with_linger(Duration::from_secs(1))
            .with("EBBTIDE_STORAGE", round.storage);
        let mut worker = testbed.worker();
        worker.send(&round.command());
        // Collected repeatedly: a volume's name is unknown after its container is removed.
        let mut volumes = Vec::new();
        let status = worker.end_while_polling(|| {
            volumes.extend(
                testbed
                    .containers()
                    .into_iter()
                    .flat_map(|container| container.volumes),
            );
        });
        let ended = Instant::now();
        round.assert_ended(status, &testbed.base.path("worker.0"));
        volumes.extend(
            testbed
                .containers()
                .into_iter()
                .flat_map(|container| container.volumes),
        );
        testbed.wait_until_nothing_is_left();
        let took = ended.elapsed();
        volumes.retain(|name| testbed.daemon.has_volume(name));
        assert!(volumes.is_empty(), "{round:?}: {volumes:?}");
        took
    });
}
