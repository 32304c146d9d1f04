//! Processes that are killed at the most inconvenient moments.

use std::time::Duration;

use sqlx::Connection as _;

use crate::support::{runs_natively, this_test, wait_until};
use crate::testbed::{Testbed, wait_for_count};

/// Milliseconds from the command to open a first Tx until the process is killed.
const DELAYS_MS: [u64; 12] = [0, 3, 7, 12, 18, 25, 35, 50, 70, 95, 120, 150];

#[test]
fn rows_of_a_killed_test_are_gone_and_its_server_ends_after_the_linger() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new().linger(Duration::from_secs(3));
    let mut killed = testbed.worker();
    killed.execute("open");
    killed.execute("run insert into things (name) values ('one'), ('two')");
    assert_eq!(
        killed.execute("query select nextval('things_id_seq')::text"),
        "3"
    );
    let server = testbed.server();
    killed.kill();

    let mut next = testbed.worker();
    assert_eq!(next.execute("start"), "reused");
    next.execute("open");
    assert_eq!(next.execute("query select count(*)::text from things"), "0");
    assert_eq!(
        next.execute("query select nextval('things_id_seq')::text"),
        "1"
    );
    assert_eq!(
        next.execute("query select current_setting('ebbtide.identity')"),
        server.identity()
    );
    next.kill();
    server.wait_until_gone();
    testbed.wait_until_nothing_is_left();
}

#[tokio::test]
async fn a_build_whose_process_was_killed_is_repeated_by_the_next_process() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new().linger(Duration::from_secs(20));
    let slow = testbed.write_sleeping_migration("2_slow.sql");
    let mut killed = testbed.worker();
    killed.send("open");
    wait_until("there is a server", || {
        testbed
            .instances()
            .iter()
            .any(|dir| dir.join(".s.PGSQL.5432").exists())
    });
    let mut admin = testbed.admin().await;
    let count = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname like 'ebbtide\\_b\\_%'";
    wait_for_count(&mut admin, count, 1).await;
    let mut next = testbed.repeat_killed_build(killed, &slow);
    assert_eq!(next.execute("query select count(*)::text from things"), "0");
    wait_for_count(&mut admin, count, 0).await;
    wait_for_count(
        &mut admin,
        "select count(*) from pg_database where datname like 'ebbtide\\_b\\_%'",
        0,
    )
    .await;
    admin.close().await.unwrap();
    drop(next);
    testbed.end_servers();
}

/// Runs a scenario with three of the delays, in four threads at the same time. A scenario mostly
/// waits for supervisors, which poll once a second.
fn with_all_delays(scenario: impl Fn(&[u64]) + Sync) {
    std::thread::scope(|scope| {
        for delays in DELAYS_MS.chunks(3) {
            scope.spawn(|| scenario(delays));
        }
    });
}

/// Kills a process after a delay, and asserts that nothing is left. With `another`, asserts first
/// that the next process can use a server.
fn kill_after(delay: u64, testbed: &Testbed, another: bool) {
    let mut killed = testbed.worker();
    killed.send("open");
    // Not a wait for a condition: the delay itself is what the test varies.
    std::thread::sleep(Duration::from_millis(delay));
    killed.kill();
    if another {
        let mut next = testbed.worker();
        next.execute("open");
        assert_eq!(
            next.execute("query select count(*)::text from things"),
            "0",
            "after {delay} ms"
        );
        assert_eq!(next.end().code(), Some(0), "after {delay} ms");
    }
    testbed.wait_until_nothing_is_left();
}

#[test]
fn a_process_killed_while_it_starts_the_server_leaves_nothing() {
    if !runs_natively(this_test!()) {
        return;
    }
    with_all_delays(|delays| {
        let testbed = Testbed::new();
        testbed.worker().execute("start");
        for (number, delay) in delays.iter().enumerate() {
            kill_after(*delay, &testbed, number % 2 == 0);
        }
    });
}

#[test]
fn a_process_killed_while_it_prepares_the_first_server_leaves_nothing() {
    if !runs_natively(this_test!()) {
        return;
    }
    with_all_delays(|delays| {
        for (number, delay) in delays.iter().enumerate() {
            kill_after(*delay, &Testbed::without_cache(), number % 2 == 1);
        }
    });
}
