//! Clients that are killed in the one moment that a container cannot see: before it runs.

use std::time::Duration;

use super::daemon::Container;
use super::relay::{Relay, Watch};
use super::stage::{Stage, contained};
use super::support::{here, wait_until};

/// A stage whose puppets talk to the engine through a relay.
fn watched(watch: Watch) -> (Stage, Relay) {
    // With an anonymous volume.
    let stage = Stage::with_linger(Duration::from_secs(1)).with("EBBTIDE_STORAGE", "disk");
    let relay = Relay::on_socket(&stage.scene.path("relay"), watch);
    let stage = stage.with("DOCKER_HOST", &relay.daemon.url);
    (stage, relay)
}

/// Kills a puppet as soon as its request to the engine is seen. Returns what the engine has made.
fn killed_at(stage: &Stage, relay: &Relay) -> Vec<Container> {
    let mut puppet = stage.puppet();
    puppet.tell("open");
    relay.wait_until_seen();
    puppet.kill();
    stage.containers()
}

fn assert_nothing_is_left(stage: &Stage, made: &[Container]) {
    stage.wait_until_nothing_is_left();
    for volume in made.iter().flat_map(|container| &container.volumes) {
        assert!(!stage.daemon.has_volume(volume), "{volume}");
    }
}

#[test]
fn a_client_killed_between_creating_and_starting_leaves_no_container() {
    if !contained(here!()) {
        return;
    }
    let (stage, relay) = watched(Watch::Withhold("/start HTTP"));
    let made = killed_at(&stage, &relay);
    assert_eq!(
        (made.len(), &*made[0].state, made[0].volumes.len()),
        (1, "created", 1),
        "{made:?}"
    );
    assert_nothing_is_left(&stage, &made);
}

#[test]
fn without_a_command_of_the_engine_its_socket_will_do() {
    if !contained(here!()) {
        return;
    }
    let (stage, relay) = watched(Watch::Withhold("/start HTTP"));
    let stage = stage.without_commands();
    let made = killed_at(&stage, &relay);
    assert_eq!((made.len(), &*made[0].state), (1, "created"), "{made:?}");
    assert_nothing_is_left(&stage, &made);
}

#[test]
fn a_client_killed_while_the_engine_creates_leaves_no_container() {
    if !contained(here!()) {
        return;
    }
    let (stage, relay) = watched(Watch::Tell("/containers/create"));
    let made = killed_at(&stage, &relay);
    assert_nothing_is_left(&stage, &made);
}

#[test]
fn a_client_killed_before_the_engine_hears_of_a_container_leaves_no_directory() {
    if !contained(here!()) {
        return;
    }
    let (stage, relay) = watched(Watch::Withhold("/containers/create"));
    let made = killed_at(&stage, &relay);
    assert_eq!(made, []);
    assert_nothing_is_left(&stage, &made);
}

#[test]
fn a_client_killed_while_the_engine_starts_leaves_no_container() {
    if !contained(here!()) {
        return;
    }
    let (stage, relay) = watched(Watch::Tell("/start HTTP"));
    let made = killed_at(&stage, &relay);
    assert_eq!(made.len(), 1, "{made:?}");
    assert_nothing_is_left(&stage, &made);
}

#[test]
fn where_nothing_can_talk_to_the_engine_the_next_start_removes_what_never_ran() {
    if !contained(here!()) {
        return;
    }
    let (stage, relay) = watched(Watch::Withhold("/start HTTP"));
    let made = killed_at(&stage, &relay);
    // The keeper's own attempts fail as well.
    relay.cut();
    wait_until("the keeper has given up", || stage.scene.left().is_empty());
    assert_eq!(stage.containers().len(), 1);

    let mut next = stage.puppet_with(&[("DOCKER_HOST", stage.daemon.url.clone().into())]);
    assert_eq!(next.ask("start"), "started");
    wait_until("the first container is gone", || {
        stage
            .containers()
            .iter()
            .all(|found| found.id != made[0].id)
    });
    assert_eq!(next.end().code(), Some(0));
    assert_nothing_is_left(&stage, &made);
}
