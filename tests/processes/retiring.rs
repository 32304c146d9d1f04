//! Newcomers at the very moment at which a server retires.

use std::time::{Duration, Instant};

use super::puppet::Puppet;
use super::scene::Scene;
use super::support::{here, natively};

#[test]
fn whoever_joins_a_retiring_server_gets_one_that_stays() {
    if !natively(here!()) {
        return;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| join_at_retirement([0, 3, 6, 9]));
        scope.spawn(|| join_at_retirement([1, 5, 12, 20]));
    });
}

/// Four processes want a server when theirs begins to retire, each some milliseconds after the one before.
fn join_at_retirement(steps: [u64; 4]) {
    let scene = Scene::new();
    let mut holder = scene.puppet();
    holder.ask("start");
    for step in steps {
        // They are there before, so that they join within a millisecond.
        let mut joiners: Vec<Puppet> = std::iter::repeat_with(|| scene.puppet()).take(4).collect();
        for joiner in &mut joiners {
            joiner.ask("wait");
        }
        let server = scene.server();
        holder.kill();
        let deadline = Instant::now() + Duration::from_secs(30);
        while server.instance.join("serving").exists() {
            assert!(Instant::now() < deadline, "it does not retire");
            std::thread::yield_now();
        }
        for joiner in &mut joiners {
            joiner.tell("open");
            // Before, during and after the removal of what the server had.
            std::thread::sleep(Duration::from_millis(step));
        }
        for joiner in &mut joiners {
            joiner.answer().unwrap();
            assert_eq!(joiner.ask("query select count(*)::text from things"), "0");
        }
        // It may be the same: a newcomer in time makes the supervisor change its mind.
        assert!(scene.server().lives());
        holder = joiners.swap_remove(0);
    }
    drop(holder);
    scene.wait_until_nothing_is_left();
}

#[test]
fn processes_that_come_and_go_all_the_time_never_lose_their_server() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new();
    let mut puppets: Vec<Puppet> = std::iter::repeat_with(|| scene.puppet()).take(3).collect();
    for puppet in &mut puppets {
        puppet.tell("joins 100");
    }
    let started: Vec<String> = puppets
        .iter()
        .map(|puppet| puppet.answer().unwrap())
        .collect();
    println!("servers started: {started:?}");
    drop(puppets);
    scene.wait_until_nothing_is_left();
}
