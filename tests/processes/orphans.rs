//! Supervisors and servers that are killed.

use std::time::Duration;

use rustix::process::Signal;

use super::puppet::Puppet;
use super::scene::{Running, Scene, Seen};
use super::support::{here, natively, wait_until};

/// Does something terrible to a running server, after which the next process must find its way by itself.
fn the_next_process_recovers_from(storage: &'static str, disaster: impl FnOnce(&Running, &mut Puppet, &Scene)) {
    let scene = Scene::new().storage(storage);
    let mut first = scene.puppet();
    first.ask("open");
    let lost = scene.server();
    disaster(&lost, &mut first, &scene);

    let mut next = scene.puppet();
    assert_eq!(next.ask("start"), "started");
    next.ask("open");
    assert_eq!(next.ask("query select count(*)::text from things"), "0");
    drop(first);
    lost.wait_until_gone();
    let server = scene.server();
    assert_ne!(server.identity(), lost.identity());
    next.end();
    server.wait_until_gone();
    scene.wait_until_nothing_is_left();
}

fn kill_supervisor(server: &Running, _: &mut Puppet, _: &Scene) {
    server.supervisor.kill();
}

fn kill_server(server: &Running, _: &mut Puppet, _: &Scene) {
    server.postmaster.kill();
}

fn kill_both(server: &Running, _: &mut Puppet, _: &Scene) {
    server.supervisor.kill();
    server.postmaster.kill();
}

#[test]
fn an_orphaned_server_in_memory_is_swept() {
    if !natively(here!()) {
        return;
    }
    the_next_process_recovers_from("memory", kill_supervisor);
}

#[test]
fn an_orphaned_server_on_disk_is_swept() {
    if !natively(here!()) {
        return;
    }
    the_next_process_recovers_from("disk", kill_supervisor);
}

#[test]
fn what_a_dead_server_without_supervisor_left_in_memory_is_swept() {
    if !natively(here!()) {
        return;
    }
    the_next_process_recovers_from("memory", kill_both);
}

#[test]
fn what_a_dead_server_without_supervisor_left_on_disk_is_swept() {
    if !natively(here!()) {
        return;
    }
    the_next_process_recovers_from("disk", kill_both);
}

#[test]
fn a_dead_server_is_replaced_and_its_supervisor_tidies_up() {
    if !natively(here!()) {
        return;
    }
    the_next_process_recovers_from("memory", kill_server);
}

#[test]
fn a_server_that_is_killed_while_it_computes_leaves_no_process() {
    if !natively(here!()) {
        return;
    }
    the_next_process_recovers_from("disk", |server, puppet, scene| {
        // Nothing in such a statement looks whether the postmaster is still there.
        puppet.tell("run select from generate_series(1, 30000) a, generate_series(1, 30000) b where a + b < 0");
        let computes = |seen: &Seen| seen.words[0].trim_end().ends_with("SELECT");
        wait_until("the statement runs", || scene.processes().iter().any(computes));
        server.postmaster.kill();
        assert!(scene.processes().iter().any(computes));
    });
}

#[test]
fn a_supervisor_that_is_told_to_end_takes_its_server_along() {
    if !natively(here!()) {
        return;
    }
    the_next_process_recovers_from("memory", |server, _, _| {
        server.supervisor.signal(Signal::TERM);
        server.wait_until_gone();
    });
}

#[test]
fn a_supervisor_killed_while_it_prepares_a_server_is_replaced() {
    if !natively(here!()) {
        return;
    }
    std::thread::scope(|scope| {
        for moment in [0, 4, 30, 120, 400] {
            scope.spawn(move || supervisor_killed_after(moment));
        }
    });
}

fn supervisor_killed_after(moment: u64) {
    let scene = Scene::cold();
    let mut first = scene.puppet();
    first.tell("open");
    wait_until("there is a supervisor", || !scene.supervisors().is_empty());
    // Not a wait for anything: the moment is what the test is about.
    std::thread::sleep(Duration::from_millis(moment));
    let workers = scene.processes();
    scene.supervisors().iter().for_each(Seen::kill);
    // It may have been told of its loss, or have been served before.
    let _ = first.answer();

    let mut next = scene.puppet();
    next.ask("open");
    assert_eq!(next.ask("query select count(*)::text from things"), "0", "after {moment} ms");
    drop((first, next));
    scene.wait_until_nothing_is_left();
    let segments: Vec<String> = workers.iter().flat_map(Seen::segments).collect();
    assert!(segments.is_empty(), "after {moment} ms: {segments:?}");
}
