//! Supervisors and servers that are killed.

use std::time::Duration;

use rustix::process::Signal;

use super::puppet::Puppet;
use super::scene::{Running, Scene, Seen, is_looked_after};
use super::support::{here, natively, wait_until};

/// Does something terrible to a server that a test uses, after which the next process must start another.
fn the_next_process_recovers_from(
    storage: &'static str,
    disaster: impl FnOnce(&Running, Puppet, &Scene) -> Option<Puppet>,
) {
    let scene = Scene::new().storage(storage);
    let mut first = scene.puppet();
    first.ask("open");
    let lost = scene.server();
    let first = disaster(&lost, first, &scene);

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

/// Kills shells of a server that a test uses, after which both the test and the next process must go on with it.
fn the_next_process_joins_after(storage: &'static str, disaster: impl FnOnce(&Running)) {
    let scene = Scene::new().storage(storage);
    let mut first = scene.puppet();
    first.ask("open");
    first.ask("run insert into things (name) values ('one')");
    let server = scene.server();
    disaster(&server);

    let mut next = scene.puppet();
    assert_eq!(next.ask("start"), "reused");
    next.ask("open");
    assert_eq!(
        next.ask("query select current_setting('ebbtide.identity')"),
        server.identity()
    );
    assert_eq!(first.ask("query select count(*)::text from things"), "1");
    first.ask("close");
    drop(next);
    wait_until("two living shells look after it", || {
        is_looked_after(&server.instance)
    });
    assert!(server.lives());
    first.end();
    server.wait_until_gone();
    scene.wait_until_nothing_is_left();
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of several disasters, after some of which there is no test"
)]
fn kill_all(server: &Running, puppet: Puppet, _: &Scene) -> Option<Puppet> {
    server.kill_shells();
    server.postmaster.kill();
    Some(puppet)
}

fn kill_the_test_and_both_shells(server: &Running, puppet: Puppet, _: &Scene) -> Option<Puppet> {
    puppet.kill();
    server.kill_shells();
    None
}

#[test]
fn a_test_and_the_next_process_go_on_when_the_supervisor_is_killed() {
    if !natively(here!()) {
        return;
    }
    the_next_process_joins_after("memory", |server| server.supervisor.kill());
}

#[test]
fn a_server_whose_supervisor_and_deputy_are_killed_is_taken_over_while_a_test_uses_it() {
    if !natively(here!()) {
        return;
    }
    the_next_process_joins_after("memory", Running::kill_shells);
    the_next_process_joins_after("disk", Running::kill_shells);
}

#[test]
fn a_process_with_other_settings_takes_over_what_others_use_and_starts_its_own() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new();
    let mut first = scene.puppet();
    first.ask("open");
    let server = scene.server();
    server.kill_shells();
    let config = scene.write("other.toml", "[server]\nsettings = { work_mem = \"5MB\" }");
    let mut others = [
        scene.puppet_with(&[("EBBTIDE_CONFIG", config.clone())]),
        scene.puppet_with(&[("EBBTIDE_CONFIG", config)]),
    ];
    for other in &mut others {
        other.tell("start");
    }
    for other in &others {
        other.answer().unwrap();
    }
    assert_eq!(first.ask("query select count(*)::text from things"), "0");
    wait_until("each server has one supervisor and one deputy", || {
        scene.shells().len() == 4
    });
    assert_eq!(scene.supervisors().len(), 2);
    drop((first, others));
    server.wait_until_gone();
    scene.wait_until_nothing_is_left();
}

#[test]
fn a_killed_deputy_is_replaced() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new();
    let mut first = scene.puppet();
    first.ask("open");
    let server = scene.server();
    server.deputy.kill();
    let deputy = || std::fs::read_to_string(server.instance.join("deputy")).unwrap_or_default();
    let killed = deputy();
    wait_until("there is another deputy", || deputy() != killed);
    assert!(server.supervisor.lives() && server.lives());
    first.end();
    server.wait_until_gone();
    scene.wait_until_nothing_is_left();
}

#[test]
fn a_server_without_a_test_ends_after_the_linger_although_its_supervisor_was_killed() {
    if !natively(here!()) {
        return;
    }
    for storage in ["memory", "disk"] {
        let scene = Scene::new().storage(storage);
        let mut first = scene.puppet();
        first.ask("open");
        let server = scene.server();
        first.kill();
        server.supervisor.kill();
        server.wait_until_gone();
        scene.wait_until_nothing_is_left();
    }
}

#[test]
fn an_orphaned_server_in_memory_is_swept() {
    if !natively(here!()) {
        return;
    }
    the_next_process_recovers_from("memory", kill_the_test_and_both_shells);
}

#[test]
fn an_orphaned_server_on_disk_is_swept() {
    if !natively(here!()) {
        return;
    }
    the_next_process_recovers_from("disk", kill_the_test_and_both_shells);
}

#[test]
fn what_a_dead_server_without_supervisor_left_in_memory_is_swept() {
    if !natively(here!()) {
        return;
    }
    the_next_process_recovers_from("memory", kill_all);
}

#[test]
fn what_a_dead_server_without_supervisor_left_on_disk_is_swept() {
    if !natively(here!()) {
        return;
    }
    the_next_process_recovers_from("disk", kill_all);
}

#[test]
fn a_dead_server_is_replaced_and_its_supervisor_tidies_up() {
    if !natively(here!()) {
        return;
    }
    the_next_process_recovers_from("memory", |server, puppet, _| {
        server.postmaster.kill();
        Some(puppet)
    });
}

#[test]
fn a_server_that_is_killed_while_it_computes_leaves_no_process() {
    if !natively(here!()) {
        return;
    }
    the_next_process_recovers_from("disk", |server, mut puppet, scene| {
        // Nothing in such a statement looks whether the postmaster is still there.
        puppet.tell("run select from generate_series(1, 30000) a, generate_series(1, 30000) b where a + b < 0");
        let computes = |seen: &Seen| seen.words[0].trim_end().ends_with("SELECT");
        wait_until("the statement runs", || {
            scene.processes().iter().any(computes)
        });
        server.postmaster.kill();
        assert!(scene.processes().iter().any(computes));
        Some(puppet)
    });
}

#[test]
fn a_supervisor_that_is_told_to_end_takes_its_server_along() {
    if !natively(here!()) {
        return;
    }
    the_next_process_recovers_from("memory", |server, puppet, _| {
        server.supervisor.signal(Signal::TERM);
        server.wait_until_gone();
        Some(puppet)
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

#[test]
fn a_process_whose_supervisor_is_killed_while_it_prepares_a_server_gets_one_nevertheless() {
    if !natively(here!()) {
        return;
    }
    std::thread::scope(|scope| {
        for moment in [0, 60, 250, 500] {
            scope.spawn(move || {
                let scene = Scene::cold();
                let mut first = scene.puppet();
                first.tell("open");
                wait_until("there is a supervisor", || !scene.supervisors().is_empty());
                // Not a wait for anything: the moment is what the test is about.
                std::thread::sleep(Duration::from_millis(moment));
                scene.supervisors().iter().for_each(Seen::kill);
                first.answer().unwrap();
                assert_eq!(
                    first.ask("query select count(*)::text from things"),
                    "0",
                    "after {moment} ms"
                );
                first.end();
                scene.wait_until_nothing_is_left();
            });
        }
    });
}

/// Kills all shells, so that only the next process can tidy up.
fn supervisor_killed_after(moment: u64) {
    let scene = Scene::cold();
    let mut first = scene.puppet();
    first.tell("open");
    wait_until("there is a supervisor", || !scene.supervisors().is_empty());
    // Not a wait for anything: the moment is what the test is about.
    std::thread::sleep(Duration::from_millis(moment));
    let workers = scene.processes();
    let shells = scene.shells();
    for shell in &shells {
        shell.signal(Signal::KILL);
    }
    shells.iter().for_each(Seen::kill);
    // It may have been told of its loss, or have been served before.
    let _ = first.answer();

    let mut next = scene.puppet();
    next.ask("open");
    assert_eq!(
        next.ask("query select count(*)::text from things"),
        "0",
        "after {moment} ms"
    );
    drop((first, next));
    scene.wait_until_nothing_is_left();
    let segments: Vec<String> = workers.iter().flat_map(Seen::segments).collect();
    assert!(segments.is_empty(), "after {moment} ms: {segments:?}");
}
