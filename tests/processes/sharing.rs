//! Several processes on one server.

use std::time::{Duration, Instant};

use super::puppet::{Puppet, sixteen_at_once};
use super::scene::Scene;
use super::support::{here, names_in, natively, wait_until};

const LONG: Duration = Duration::from_secs(20);

fn identity(puppet: &mut Puppet) -> String {
    puppet.ask("open");
    let identity = puppet.ask("query select current_setting('ebbtide.identity')");
    puppet.ask("close");
    identity
}

#[test]
fn sixteen_processes_at_once_start_one_server_and_build_one_template() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new();
    let puppets = sixteen_at_once(|| scene.puppet());
    let server = scene.server();
    assert_eq!(scene.postmasters().len(), 1);
    assert_eq!(scene.supervisors().len(), 1);
    assert_eq!(names_in(&server.instance.join("leases")).len(), 16);
    drop(puppets);
    server.wait_until_gone();
    scene.wait_until_nothing_is_left();
}

#[test]
fn the_next_process_reuses_server_and_template_if_it_wants_the_same() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new().linger(LONG);
    let mut first = scene.puppet();
    assert_eq!(
        [first.ask("start"), first.ask("provision")],
        ["started", "built"]
    );
    let server = identity(&mut first);
    assert_eq!(server, scene.server().identity());
    first.end();

    let mut second = scene.puppet();
    assert_eq!(
        [second.ask("start"), second.ask("provision")],
        ["reused", "reused"]
    );
    assert_eq!(identity(&mut second), server);
    second.end();

    let migrations = scene
        .write("other/1_other.sql", "create table other ();")
        .parent()
        .unwrap()
        .to_owned();
    let mut third = scene.puppet_with(&[("EBBTIDE_MIGRATIONS", migrations)]);
    assert_eq!(
        [third.ask("start"), third.ask("provision")],
        ["reused", "built"]
    );
    assert_eq!(identity(&mut third), server);

    let config = scene.write("other.toml", "[server]\nsettings = { work_mem = \"5MB\" }");
    let mut fourth = scene.puppet_with(&[("EBBTIDE_CONFIG", config)]);
    assert_eq!(
        [fourth.ask("start"), fourth.ask("provision")],
        ["started", "built"]
    );
    assert_ne!(identity(&mut fourth), server);
    assert_eq!(scene.postmasters().len(), 2);
    drop((third, fourth));
    scene.dismiss();
}

#[test]
fn a_process_that_does_nothing_keeps_the_server_past_the_linger() {
    if !natively(here!()) {
        return;
    }
    let linger = Duration::from_secs(1);
    let scene = Scene::new().linger(linger);
    let mut idler = scene.puppet();
    idler.ask("start");
    let server = scene.server();
    let began = Instant::now();
    wait_until("three times the linger is over", || {
        assert!(server.lives(), "after {:?}", began.elapsed());
        began.elapsed() > 3 * linger
    });
    idler.end();
    let ended = Instant::now();
    server.wait_until_gone();
    let took = ended.elapsed();
    assert!(took > linger / 2, "the linger was not waited for: {took:?}");
    assert!(took < linger + Duration::from_secs(9), "{took:?}");
}

#[test]
fn a_kept_database_can_be_read_later_and_holds_its_server() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new();
    let mut keeper = scene.puppet();
    keeper.ask("open");
    keeper.ask("run insert into things (name) values ('a thing to look at')");
    let url = keeper.ask("keep");
    let server = scene.server();
    keeper.end();
    let leases = server.instance.join("leases");
    wait_until("the supervisor has seen that the process is gone", || {
        names_in(&leases).len() == 1
    });
    let lease = names_in(&leases).remove(0);
    assert!(lease.starts_with("until."), "{lease}");

    let mut reader = scene.puppet();
    assert_eq!(
        reader.ask(&format!("read {url} select name from things")),
        "a thing to look at"
    );
    reader.end();
    assert!(server.lives());
    std::fs::remove_file(leases.join(lease)).unwrap();
    server.wait_until_gone();
    scene.wait_until_nothing_is_left();
}

#[test]
fn a_lane_is_never_leased_twice() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new();
    let mut puppets: Vec<Puppet> = std::iter::repeat_with(|| scene.puppet()).take(6).collect();
    for puppet in &mut puppets {
        puppet.tell("transactions 20");
    }
    for puppet in &puppets {
        assert_eq!(puppet.answer().as_deref(), Ok("20"));
    }
    drop(puppets);
    scene.wait_until_nothing_is_left();
}
