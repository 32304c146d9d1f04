//! Processes that end while they use a container, in whichever way and at whichever moment.

use std::time::{Duration, Instant};

use super::rounds;
use super::stage::{Stage, contained};
use super::support::here;

/// A first start takes about half of it, on a machine that does three at once.
const LATEST: Duration = Duration::from_secs(5);

#[test]
fn nothing_is_left_whichever_way_and_whenever_a_process_ends() {
    if !contained(here!()) {
        return;
    }
    rounds::play(6, LATEST, |round| {
        let stage =
            Stage::with_linger(Duration::from_secs(1)).with("EBBTIDE_STORAGE", round.storage);
        let mut puppet = stage.puppet();
        puppet.tell(&round.order());
        let mut volumes = Vec::new();
        let status = puppet.end_while(|| {
            volumes.extend(
                stage
                    .containers()
                    .into_iter()
                    .flat_map(|container| container.volumes),
            );
        });
        let ended = Instant::now();
        round.assert_ended(status, &stage.scene.path("puppet.0"));
        volumes.extend(
            stage
                .containers()
                .into_iter()
                .flat_map(|container| container.volumes),
        );
        stage.wait_until_nothing_is_left();
        let took = ended.elapsed();
        volumes.retain(|name| stage.daemon.has_volume(name));
        assert!(volumes.is_empty(), "{round:?}: {volumes:?}");
        took
    });
}
