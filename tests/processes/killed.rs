//! Processes that are killed, at moments that hurt.

use std::time::Duration;

use sqlx::Connection as _;

use super::scene::{Scene, wait_for};
use super::support::{here, natively, wait_until};

/// Milliseconds after which a process is killed that wants its first transaction.
const MOMENTS: [u64; 12] = [0, 3, 7, 12, 18, 25, 35, 50, 70, 95, 120, 150];

#[test]
fn what_a_killed_test_wrote_is_gone_and_so_is_the_server_after_the_linger() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new().linger(Duration::from_secs(3));
    let mut killed = scene.puppet();
    killed.ask("open");
    killed.ask("run insert into things (name) values ('one'), ('two')");
    assert_eq!(
        killed.ask("query select nextval('things_id_seq')::text"),
        "3"
    );
    let server = scene.server();
    killed.kill();

    let mut next = scene.puppet();
    assert_eq!(next.ask("start"), "reused");
    next.ask("open");
    assert_eq!(next.ask("query select count(*)::text from things"), "0");
    assert_eq!(next.ask("query select nextval('things_id_seq')::text"), "1");
    assert_eq!(
        next.ask("query select current_setting('ebbtide.identity')"),
        server.identity()
    );
    next.kill();
    server.wait_until_gone();
    scene.wait_until_nothing_is_left();
}

#[tokio::test]
async fn a_build_whose_process_was_killed_is_done_again_by_the_next() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new().linger(Duration::from_secs(20));
    // The file makes the difference, so that both processes want the same template.
    let slow = scene.write("slow", "");
    let sleep = format!(
        "select pg_sleep(600) from pg_stat_file('{}', true) as slow where slow.size is not null;",
        slow.display()
    );
    scene.write("migrations/2_slow.sql", &sleep);
    let mut killed = scene.puppet();
    killed.tell("open");
    wait_until("there is a server", || {
        scene
            .instances()
            .iter()
            .any(|dir| dir.join(".s.PGSQL.5432").exists())
    });
    let mut admin = scene.admin().await;
    let count = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname like 'ebbtide\\_b\\_%'";
    wait_for(&mut admin, count, 1).await;
    killed.kill();
    std::fs::remove_file(slow).unwrap();

    let mut next = scene.puppet();
    assert_eq!(
        [next.ask("start"), next.ask("provision")],
        ["reused", "built"]
    );
    next.ask("open");
    assert_eq!(next.ask("query select count(*)::text from things"), "0");
    wait_for(&mut admin, count, 0).await;
    wait_for(
        &mut admin,
        "select count(*) from pg_database where datname like 'ebbtide\\_b\\_%'",
        0,
    )
    .await;
    admin.close().await.unwrap();
    drop(next);
    scene.dismiss();
}

/// Most of the time is spent waiting for supervisors, which look once a second: four at a time.
fn at_all_moments(scenario: impl Fn(&[u64]) + Sync) {
    std::thread::scope(|scope| {
        for moments in MOMENTS.chunks(3) {
            scope.spawn(|| scenario(moments));
        }
    });
}

/// Kills a process after a while and sees to it that the next one works, or that nothing is left without one.
fn kill_at(moment: u64, scene: &Scene, another: bool) {
    let mut killed = scene.puppet();
    killed.tell("open");
    // Not a wait for anything: the moment is what the test is about.
    std::thread::sleep(Duration::from_millis(moment));
    killed.kill();
    if another {
        let mut next = scene.puppet();
        next.ask("open");
        assert_eq!(
            next.ask("query select count(*)::text from things"),
            "0",
            "after {moment} ms"
        );
        assert_eq!(next.end().code(), Some(0), "after {moment} ms");
    }
    scene.wait_until_nothing_is_left();
}

#[test]
fn a_process_killed_while_it_starts_the_server_leaves_nothing() {
    if !natively(here!()) {
        return;
    }
    at_all_moments(|moments| {
        let scene = Scene::new();
        scene.puppet().ask("start");
        for (number, moment) in moments.iter().enumerate() {
            kill_at(*moment, &scene, number % 2 == 0);
        }
    });
}

#[test]
fn a_process_killed_while_it_prepares_the_first_server_leaves_nothing() {
    if !natively(here!()) {
        return;
    }
    at_all_moments(|moments| {
        for (number, moment) in moments.iter().enumerate() {
            kill_at(*moment, &Scene::cold(), number % 2 == 1);
        }
    });
}
