//! Several processes on one container.

use std::time::{Duration, Instant};

use super::puppet::sixteen_at_once;
use super::stage::{Stage, contained};
use super::support::{here, names_in, wait_until};

/// The container goes so long after the linger, by its own account.
const GRACE: Duration = Duration::from_secs(2);

#[test]
fn sixteen_processes_at_once_start_one_container_and_build_one_template() {
    if !contained(here!()) {
        return;
    }
    let stage = Stage::new();
    let puppets = sixteen_at_once(|| stage.puppet());
    assert_eq!(stage.containers().len(), 1);
    assert_eq!(stage.scene.supervisors().len(), 1);
    assert_eq!(
        names_in(&stage.scene.instances()[0].join("leases")).len(),
        16
    );
    drop(puppets);
    stage.wait_until_nothing_is_left();
}

#[test]
fn two_projects_share_a_container_if_they_want_the_same_settings() {
    if !contained(here!()) {
        return;
    }
    let stage = Stage::new();
    let mut first = stage.puppet();
    assert_eq!(
        [first.ask("start"), first.ask("provision")],
        ["started", "built"]
    );
    let container = stage.container();

    let migrations = stage
        .scene
        .write("other/1_other.sql", "create table other ();")
        .parent()
        .unwrap()
        .to_owned();
    let mut second = stage.puppet_with(&[("EBBTIDE_MIGRATIONS", migrations)]);
    assert_eq!(
        [second.ask("start"), second.ask("provision")],
        ["reused", "built"]
    );
    second.ask("open");
    assert_eq!(second.ask("query select count(*)::text from other"), "0");
    assert_eq!(stage.container(), container);

    let config = stage
        .scene
        .write("other.toml", "[server]\nsettings = { work_mem = \"5MB\" }");
    let mut third = stage.puppet_with(&[("EBBTIDE_CONFIG", config)]);
    assert_eq!(
        [third.ask("start"), third.ask("provision")],
        ["started", "built"]
    );
    third.ask("open");
    assert_eq!(third.ask("query select current_setting('work_mem')"), "5MB");
    assert_eq!(stage.containers().len(), 2);
    drop((first, second, third));
    stage.wait_until_nothing_is_left();
}

#[test]
fn a_process_that_does_nothing_keeps_the_container_past_the_linger() {
    if !contained(here!()) {
        return;
    }
    let linger = Duration::from_secs(1);
    let stage = Stage::with_linger(linger);
    let mut idler = stage.puppet();
    idler.ask("start");
    let container = stage.container();
    let began = Instant::now();
    wait_until(
        "three times the linger and the container's grace are over",
        || {
            assert_eq!(
                stage.containers(),
                std::slice::from_ref(&container),
                "after {:?}",
                began.elapsed()
            );
            began.elapsed() > 3 * (linger + GRACE)
        },
    );
    assert_eq!(stage.scene.instances().len(), 1);
    idler.ask("open");
    idler.end();
    let took = stage.wait_until_nothing_is_left();
    assert!(took > linger, "the linger was not waited for: {took:?}");
}

#[test]
fn a_kept_database_can_be_read_later_and_holds_its_container() {
    if !contained(here!()) {
        return;
    }
    let stage = Stage::new();
    let mut keeper = stage.puppet();
    keeper.ask("open");
    keeper.ask("run insert into things (name) values ('a thing to look at')");
    let url = keeper.ask("keep");
    keeper.end();
    let container = stage.container();
    let began = Instant::now();
    wait_until("the container has had the time to go", || {
        assert_eq!(
            stage.containers(),
            std::slice::from_ref(&container),
            "after {:?}",
            began.elapsed()
        );
        began.elapsed() > 3 * GRACE
    });
    let leases = names_in(&stage.scene.instances()[0].join("leases"));
    assert!(
        leases.len() == 1 && leases[0].starts_with("until."),
        "{leases:?}"
    );
    let mut reader = stage.puppet();
    assert_eq!(
        reader.ask(&format!("read {url} select name from things")),
        "a thing to look at"
    );
    assert_eq!(reader.ask("start"), "reused");
    reader.end();

    // Whoever has seen enough may stop it by hand.
    stage.daemon.stop(&container);
    stage.wait_until_nothing_is_left();
}
