//! The shells that look after a server are killed at random moments, with and without a test that uses the server.

use std::time::{Duration, Instant};

use super::rounds::{self, Round};
use super::scene::{Scene, Seen, is_looked_after};
use super::support::{here, natively, wait_until};

/// A first start takes about half of it, on a machine that does three at once.
const LATEST: Duration = Duration::from_millis(1500);

#[test]
fn nothing_is_left_and_no_test_is_harmed_whenever_supervisors_are_killed() {
    if !natively(here!()) {
        return;
    }
    rounds::play(6, LATEST, |round| {
        // What is killed while it prepares the first server is tried by `orphans` and `killed`.
        let scene = Scene::new()
            .linger(Duration::from_secs(1))
            .storage(round.storage);
        let mut workers: Vec<Seen> = Vec::new();
        let ended = match round.ending {
            "kill" | "abort" | "panic" => under_a_living_test(round, &scene, &mut workers),
            _ => beside_a_process_that_ends(round, &scene, &mut workers),
        };
        scene.wait_until_nothing_is_left();
        let took = ended.elapsed();
        let segments: Vec<String> = workers.iter().flat_map(Seen::segments).collect();
        assert!(segments.is_empty(), "{round:?}: {segments:?}");
        took
    });
}

/// A test queries all the time, from its first answer on, while one shell after the other is killed.
fn under_a_living_test(round: &Round, scene: &Scene, workers: &mut Vec<Seen>) -> Instant {
    let mut test = scene.puppet();
    test.tell("open");
    if round.ending == "kill" {
        kill_after(round.moment, scene);
    }
    test.answer()
        .unwrap_or_else(|error| panic!("{round:?}: {error}"));
    for victim in ["owner", "deputy", "owner"] {
        let server = scene.server();
        workers.extend(scene.processes());
        let next = Instant::now() + round.moment / 3;
        while Instant::now() < next {
            assert_eq!(
                test.ask("query select count(*)::text from things"),
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
        wait_until("two living shells look after it", || {
            assert_eq!(
                test.ask("query select count(*)::text from things"),
                "0",
                "{round:?}"
            );
            is_looked_after(&server.instance)
        });
        assert!(server.postmaster.lives(), "{round:?}");
    }
    test.end();
    Instant::now()
}

/// A process ends at a moment of its own, and a shell is killed at half of it.
fn beside_a_process_that_ends(round: &Round, scene: &Scene, workers: &mut Vec<Seen>) -> Instant {
    let mut puppet = scene.puppet();
    puppet.tell(&round.order());
    kill_after(round.moment / 2, scene);
    let status = puppet.end_while(|| workers.extend(scene.processes()));
    round.assert_ended(status, &scene.path("puppet.0"));
    Instant::now()
}

fn kill_after(moment: Duration, scene: &Scene) {
    // Not a wait for anything: the moment is what the test is about.
    std::thread::sleep(moment);
    // There may be none yet, or no longer.
    scene.supervisors().iter().for_each(Seen::kill);
}
