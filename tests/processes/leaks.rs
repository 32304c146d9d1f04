//! Processes that end while they use a server, in whichever way and at whichever moment.

use std::time::{Duration, Instant};

use super::rounds;
use super::scene::{Scene, Seen};
use super::support::{here, natively};

/// A first start takes about half of it, on a machine that does three at once.
const LATEST: Duration = Duration::from_millis(1500);

#[test]
fn nothing_is_left_whichever_way_and_whenever_a_process_ends() {
    if !natively(here!()) {
        return;
    }
    rounds::play(6, LATEST, |round| {
        let scene = Scene::cold()
            .linger(Duration::from_secs(1))
            .storage(round.storage);
        let mut puppet = scene.puppet();
        puppet.tell(&round.order());
        let mut workers: Vec<Seen> = Vec::new();
        let status = puppet.end_while(|| workers.extend(scene.processes()));
        let ended = Instant::now();
        round.assert_ended(status, &scene.path("puppet.0"));
        workers.extend(scene.processes());
        scene.wait_until_nothing_is_left();
        let took = ended.elapsed();
        let segments: Vec<String> = workers.iter().flat_map(Seen::segments).collect();
        assert!(segments.is_empty(), "{round:?}: {segments:?}");
        took
    });
}
