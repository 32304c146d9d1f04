//! Several machines on one server: processes that share nothing else.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ebbtide::ErrorKind;

use super::outside::{Outside, undisturbed};
use super::puppet::Puppet;
use super::support::again::{again_as, role};
use super::support::here;

const TESTS: u32 = 500;
/// Tests that a machine runs at once.
const AT_ONCE: u32 = 4;

fn puppet(outside: &Outside, url: &str, machine: &str) -> Puppet {
    let errors = outside
        .scratch
        .path(&format!("{machine}.{}", uuid::Uuid::new_v4().simple()));
    Puppet::start(|command| outside.environment(command, url, machine), errors)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_machines_build_one_template_and_never_meet_in_a_lane() {
    const THIS: &str = "machines::two_machines_build_one_template_and_never_meet_in_a_lane";
    if !undisturbed(here!()) {
        return;
    }
    if role().is_some() {
        return work().await;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let machines = ["north", "south"].map(|machine| {
        let mut command: Command = again_as(machine, THIS);
        outside.environment(&mut command, &url, machine);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    });
    let mut built = 0;
    for machine in machines {
        let output = machine.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        built += said.matches("built: true").count();
    }
    assert_eq!(built, 1);
    assert_eq!(outside.databases("t_").await.len(), 1);
    assert!(outside.databases("b_").await.is_empty());
    assert!(
        outside
            .list("select pid::text from pg_locks where locktype = 'advisory'")
            .await
            .is_empty()
    );
}

/// What one of the machines does.
#[expect(clippy::print_stdout, reason = "the answer to who started it")]
async fn work() {
    let harness = ebbtide::harness().unwrap();
    let began = std::time::Instant::now();
    println!("\nbuilt: {}", !harness.provision().await.unwrap().reused);
    let left = Arc::new(AtomicU32::new(0));
    let tests = (0..AT_ONCE).map(|_| {
        let (harness, left) = (harness.clone(), Arc::clone(&left));
        tokio::spawn(async move {
            let mut lanes = BTreeSet::new();
            loop {
                let number = left.fetch_add(1, Ordering::Relaxed);
                if number >= TESTS {
                    return lanes;
                }
                let mut tx = harness.tx().await.unwrap();
                // Both fail when anybody else is on the same database.
                let alone: (bool, String) =
                    sqlx::query_as("select pg_try_advisory_lock(4711), current_database()::text")
                        .fetch_one(&mut *tx)
                        .await
                        .unwrap();
                assert!(alone.0, "somebody else is in {}", alone.1);
                lanes.insert(alone.1);
                sqlx::query("insert into things (name) values ('the one')")
                    .execute(&mut *tx)
                    .await
                    .unwrap();
                if number.is_multiple_of(2) {
                    tx.close().await.unwrap();
                }
            }
        })
    });
    let mut lanes = BTreeSet::new();
    for test in tests.collect::<Vec<_>>() {
        lanes.extend(test.await.unwrap());
    }
    println!(
        "{TESTS} tests on {} lanes in {:?}",
        lanes.len(),
        began.elapsed()
    );
}

#[tokio::test]
async fn the_lanes_of_a_killed_process_are_free_and_copied_anew_if_it_was_in_a_test() {
    const LANE: &str = "query select oid::text || ' ' || datname from pg_database where datname = current_database()";
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let mut killed = puppet(&outside, &url, "north");
    killed.ask("open");
    killed.ask("run insert into things (name) values ('lost')");
    let first = killed.ask(LANE);
    killed.kill();
    let mut next = puppet(&outside, &url, "south");
    next.ask("open");
    assert_eq!(next.ask("query select count(*)::text from things"), "0");
    let second = next.ask(LANE);
    assert_ne!(first, second, "another database");
    let lane = |said: &str| {
        said.rsplit_once('_')
            .unwrap()
            .0
            .split(' ')
            .nth(1)
            .unwrap()
            .to_owned()
    };
    assert_eq!(lane(&first), lane(&second), "of the same lane");
    next.ask("close");
    next.kill();
    let mut last = puppet(&outside, &url, "east");
    last.ask("open");
    assert_eq!(last.ask(LANE), second, "nobody was in a test there");
    last.ask("close");
    assert_eq!(last.end().code(), Some(0));
}

#[tokio::test]
async fn a_build_whose_machine_died_is_done_again_by_the_next() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    outside.run("create database gate; ").await;
    // Slow for as long as the session setting says so, which is no input of the template.
    outside.scratch.write(
        "migrations/2_slow.sql",
        "select pg_sleep(600) where exists (select from pg_database where datname = 'gate');",
    );
    let mut killed = puppet(&outside, &url, "north");
    killed.tell("provision");
    let asleep = "select pid::text from pg_stat_activity where wait_event = 'PgSleep'";
    outside
        .until("the build sleeps", asleep, |found| !found.is_empty())
        .await;
    assert_eq!(outside.databases("b_").await.len(), 1);
    killed.kill();
    outside.run("drop database gate").await;
    let mut next = puppet(&outside, &url, "south");
    assert_eq!(next.ask("provision"), "built");
    assert!(outside.databases("b_").await.is_empty());
    assert!(outside.list(asleep).await.is_empty());
}

/// Ends the session that holds all locks of whoever has lanes.
async fn end_the_locks(outside: &Outside) {
    let ended = outside
        .list("select pg_terminate_backend(pid, 5000)::text from pg_locks where locktype = 'advisory' group by pid")
        .await;
    assert_eq!(ended, ["true"]);
}

#[tokio::test]
async fn a_process_without_its_locks_leases_no_lane_and_says_why() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let harness = outside.builder(&url).build().unwrap();
    let tx = harness.tx().await.unwrap();
    end_the_locks(&outside).await;
    let error = harness
        .tx()
        .await
        .expect_err("there is nobody to lock another lane");
    assert_eq!(error.kind(), ErrorKind::ServerLost);
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&format!(":{}", outside.port()), ":[PORT]");
    settings.bind(|| {
        assert_report!(outside.scratch, error, ServerLost, @r"
    the connection that holds this process's lanes is gone
      caused by: terminating connection due to administrator command
      help: the server's log says why it ended; run the tests again
    ");
    });
    // It had been opened before, and nobody else has come.
    tx.close().await.unwrap();
    assert_eq!(
        harness.tx().await.expect_err("nor is a lane reused").kind(),
        ErrorKind::ServerLost
    );
    let next = outside.builder(&url).build().unwrap();
    next.tx().await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_lane_that_somebody_else_has_taken_refuses_its_old_holder() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let (old, new) = (
        outside.builder(&url).build().unwrap(),
        outside.builder(&url).build().unwrap(),
    );
    old.tx().await.unwrap().close().await.unwrap();
    end_the_locks(&outside).await;
    let mut tx = new.tx().await.unwrap();
    assert_eq!(
        outside.databases("l_").await.len(),
        1,
        "it is the same lane"
    );
    let error = old.tx().await.expect_err("the lane names another holder");
    assert_eq!(error.kind(), ErrorKind::ServerLost);
    // Whichever is noticed first.
    let reasons = [
        "leased to another process",
        "the connection that holds this process's lanes is gone",
    ];
    assert!(
        reasons
            .iter()
            .any(|reason| format!("{error:?}").contains(reason)),
        "{error:?}"
    );
    sqlx::query("insert into things (name) values ('the one')")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_test_whose_lane_is_copied_anew_by_somebody_else_is_ended() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let (old, new) = (
        outside.builder(&url).build().unwrap(),
        outside.builder(&url).build().unwrap(),
    );
    let mut overtaken = old.tx().await.unwrap();
    end_the_locks(&outside).await;
    let mut tx = new.tx().await.unwrap();
    sqlx::query("insert into things (name) values ('the one')")
        .execute(&mut *tx)
        .await
        .unwrap();
    let ended = sqlx::query("insert into things (name) values ('the one')")
        .execute(&mut *overtaken)
        .await;
    assert_eq!(
        ebbtide::Error::from(ended.expect_err("its session is gone")).kind(),
        ErrorKind::ServerLost
    );
    assert_eq!(
        overtaken
            .close()
            .await
            .expect_err("it cannot be closed")
            .kind(),
        ErrorKind::ServerLost
    );
    tx.close().await.unwrap();
}
