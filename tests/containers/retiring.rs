//! Newcomers at the very moment at which a container retires.

use std::time::{Duration, Instant};

use super::puppet::Puppet;
use super::stage::{Stage, contained};
use super::support::{here, wait_until};

/// Who gives up first when newcomers come.
#[derive(Debug, Clone, Copy)]
enum First {
    /// The directory goes, and the container is still there.
    Keeper,
    /// The server refuses connections, and the directory says that it serves.
    Container,
}

#[test]
fn whoever_joins_while_the_keeper_retires_gets_a_container_that_stays() {
    if !contained(here!()) {
        return;
    }
    join_at_retirement(First::Keeper, [0, 4, 15]);
}

#[test]
fn whoever_joins_while_the_container_refuses_connections_gets_one_that_stays() {
    if !contained(here!()) {
        return;
    }
    join_at_retirement(First::Container, [0, 15, 60]);
}

/// Four processes want a server when theirs begins to retire, each some milliseconds after the one before.
fn join_at_retirement(first: First, steps: [u64; 3]) {
    let stage = Stage::new();
    let mut holder = stage.puppet();
    holder.ask("start");
    for step in steps {
        // They are there before, so that they join within a millisecond.
        let mut joiners: Vec<Puppet> = std::iter::repeat_with(|| stage.puppet()).take(4).collect();
        for joiner in &mut joiners {
            joiner.ask("wait");
        }
        wait_until("there is one instance", || {
            stage.scene.instances().len() == 1
        });
        let serving = stage.scene.instances()[0].join("serving");
        let container = stage.container();
        holder.kill();
        match first {
            First::Keeper => {
                let deadline = Instant::now() + Duration::from_secs(30);
                while serving.exists() {
                    assert!(Instant::now() < deadline, "it does not retire");
                    std::thread::yield_now();
                }
            }
            // With this it tells itself that nobody has been there for long enough.
            First::Container => stage.daemon.kill(&container, "USR1"),
        }
        for joiner in &mut joiners {
            joiner.tell("open");
            // Before, during and after the removal of what the server had.
            std::thread::sleep(Duration::from_millis(step));
        }
        for joiner in &mut joiners {
            joiner.answer().unwrap();
            assert_eq!(
                joiner.ask("query select count(*)::text from things"),
                "0",
                "{first:?} {step}"
            );
        }
        holder = joiners.swap_remove(0);
    }
    drop(holder);
    stage.wait_until_nothing_is_left();
}

#[test]
fn processes_that_come_and_go_all_the_time_never_lose_their_container() {
    if !contained(here!()) {
        return;
    }
    let stage = Stage::new();
    let mut puppets: Vec<Puppet> = std::iter::repeat_with(|| stage.puppet()).take(3).collect();
    for puppet in &mut puppets {
        puppet.tell("joins 40");
    }
    let started: Vec<String> = puppets
        .iter()
        .map(|puppet| puppet.answer().unwrap())
        .collect();
    println!("containers started: {started:?}");
    drop(puppets);
    stage.wait_until_nothing_is_left();
}
