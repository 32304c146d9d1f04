//! Several machines that share one external server.
//!
//! A machine is a process with a state directory of its own, so no lock file coordinates the two. A
//! process locks its lanes with PostgreSQL's advisory locks, which one session holds:
//!
//! ```text
//!  locked by A --- A's session ends (killed, or its connection lost) ---> free
//!      |                                                                    |
//!      | A ends its tests                              B locks the lane, and is its holder
//!      v                                                                    |
//!    free                           a test of A was open: ends its session, copies the lane again
//!                                   no test was open: B uses the lane as it is
//! ```

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ebbtide::{ErrorKind, Harness};

use super::external_server::ExternalServer;
use crate::support::child_process::{child_role, test_command_as};
use crate::support::this_test;
use crate::worker::Worker;

/// Tests that a machine runs in total.
const TESTS: u32 = 500;
/// Tests that a machine runs at once.
const TESTS_AT_ONCE: u32 = 4;

/// Starts a worker process that plays the machine of this name.
fn worker(external: &ExternalServer, url: &str, machine: &str) -> Worker {
    let errors = external
        .scratch
        .path(&format!("{machine}.{}", uuid::Uuid::new_v4().simple()));
    Worker::start(
        |command| external.set_environment(command, url, machine),
        errors,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_machines_build_one_template_and_never_share_a_lane() {
    if child_role().is_some() {
        return run_machine().await;
    }
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let machines = ["north", "south"].map(|machine| {
        let mut command: Command = test_command_as(machine, this_test!());
        external.set_environment(&mut command, &url, machine);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    });
    let mut built = 0;
    for machine in machines {
        let output = machine.wait_with_output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{stdout}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        built += stdout.matches("built: true").count();
    }
    assert_eq!(built, 1);
    assert_eq!(external.databases("t_").await.len(), 1);
    assert!(external.databases("b_").await.is_empty());
    assert!(
        external
            .list("select pid::text from pg_locks where locktype = 'advisory'")
            .await
            .is_empty()
    );
}

/// Runs the tests of one machine, and prints whether this process built the template.
#[expect(clippy::print_stdout, reason = "the parent process reads it")]
async fn run_machine() {
    let harness = ebbtide::Harness::shared().unwrap();
    let started_at = std::time::Instant::now();
    println!("\nbuilt: {}", !harness.provision().await.unwrap().reused);
    let next_number = Arc::new(AtomicU32::new(0));
    let tests = (0..TESTS_AT_ONCE).map(|_| {
        let (harness, next_number) = (harness.clone(), Arc::clone(&next_number));
        tokio::spawn(async move {
            let mut lanes = BTreeSet::new();
            loop {
                let number = next_number.fetch_add(1, Ordering::Relaxed);
                if number >= TESTS {
                    return lanes;
                }
                let mut tx = harness.tx().await.unwrap();
                // If another test uses the same database, it holds this lock, and the unique name
                // below waits for its transaction.
                let (is_alone, database): (bool, String) =
                    sqlx::query_as("select pg_try_advisory_lock(4711), current_database()::text")
                        .fetch_one(&mut *tx)
                        .await
                        .unwrap();
                assert!(is_alone, "another test uses {database}");
                lanes.insert(database);
                sqlx::query("insert into things (name) values ('the one')")
                    .execute(&mut *tx)
                    .await
                    .unwrap();
                // Every second test is dropped without `close`.
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
        started_at.elapsed()
    );
}

#[tokio::test]
async fn the_lane_of_a_killed_process_is_copied_again_only_if_a_test_was_using_it() {
    const QUERY_DATABASE: &str = "query select oid::text || ' ' || datname from pg_database \
                                  where datname = current_database()";
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let mut killed = worker(&external, &url, "north");
    killed.execute("open");
    killed.execute("run insert into things (name) values ('lost')");
    let first = killed.execute(QUERY_DATABASE);
    killed.kill();
    let mut next = worker(&external, &url, "south");
    next.execute("open");
    assert_eq!(next.execute("query select count(*)::text from things"), "0");
    let second = next.execute(QUERY_DATABASE);
    assert_ne!(first, second, "the lane must be copied again");
    // The name ends with the lane's number and a token that differs in the new copy.
    let lane = |oid_and_name: &str| {
        oid_and_name
            .rsplit_once('_')
            .unwrap()
            .0
            .split(' ')
            .nth(1)
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        lane(&first),
        lane(&second),
        "the second test must use the same lane"
    );
    next.execute("close");
    next.kill();
    let mut last = worker(&external, &url, "east");
    last.execute("open");
    assert_eq!(
        last.execute(QUERY_DATABASE),
        second,
        "no test was using the lane, so it must not be copied again"
    );
    last.execute("close");
    assert_eq!(last.end().code(), Some(0));
}

#[tokio::test]
async fn the_next_machine_repeats_a_build_whose_process_was_killed() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    external.run("create database gate; ").await;
    // The migration sleeps while the database `gate` exists. The existence of `gate` is no part of
    // the fingerprint, so both machines build the same template.
    external.scratch.write(
        "migrations/2_slow.sql",
        "select pg_sleep(600) where exists (select from pg_database where datname = 'gate');",
    );
    let mut killed = worker(&external, &url, "north");
    killed.send("provision");
    let asleep = "select pid::text from pg_stat_activity where wait_event = 'PgSleep'";
    external
        .wait_until("the build sleeps", asleep, |found| !found.is_empty())
        .await;
    assert_eq!(external.databases("b_").await.len(), 1);
    killed.kill();
    external.run("drop database gate").await;
    let mut next = worker(&external, &url, "south");
    assert_eq!(next.execute("provision"), "built");
    assert!(external.databases("b_").await.is_empty());
    assert!(external.list(asleep).await.is_empty());
}

/// Terminates the session that holds a process's lane locks, as an administrator could. The
/// sessions of the process's tests stay open.
async fn terminate_lock_session(external: &ExternalServer) {
    let ended = external
        .list(
            "select pg_terminate_backend(pid, 5000)::text from pg_locks \
             where locktype = 'advisory' group by pid",
        )
        .await;
    assert_eq!(ended, ["true"]);
}

/// Two harnesses that lock their lanes in separate sessions, as two processes do.
fn two_harnesses(external: &ExternalServer, url: &str) -> (Harness, Harness) {
    let harness = || external.builder(url).build().unwrap();
    (harness(), harness())
}

#[tokio::test]
async fn a_process_that_lost_its_lane_locks_gets_no_lane_and_an_error_with_the_reason() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let harness = external.builder(&url).build().unwrap();
    let tx = harness.tx().await.unwrap();
    terminate_lock_session(&external).await;
    let error = harness
        .tx()
        .await
        .expect_err("no session can lock another lane");
    assert_eq!(error.kind(), ErrorKind::ServerLost);
    external.replacements().bind(|| {
        assert_report!(external.scratch, error, ServerLost, @r"
    the connection that holds this process's lane locks is gone
      caused by: terminating connection due to administrator command
      help: the server's log shows why the connection ended; run the tests again
    ");
    });
    // This test was open before, and no other process has taken its lane.
    tx.close().await.unwrap();
    assert_eq!(
        harness
            .tx()
            .await
            .expect_err("a free lane of this process is not reused")
            .kind(),
        ErrorKind::ServerLost
    );
    let next = external.builder(&url).build().unwrap();
    next.tx().await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_lane_that_another_process_has_locked_refuses_its_previous_holder() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let (old, new) = two_harnesses(&external, &url);
    old.tx().await.unwrap().close().await.unwrap();
    terminate_lock_session(&external).await;
    let mut tx = new.tx().await.unwrap();
    assert_eq!(
        external.databases("l_").await.len(),
        1,
        "both processes must use the same lane"
    );
    let error = old.tx().await.expect_err("another process holds the lane");
    assert_eq!(error.kind(), ErrorKind::ServerLost);
    // ebbtide may notice either the new holder or the lost connection first.
    let reasons = [
        "leased_to_another_process",
        "the connection that holds this process's lane locks is gone",
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
async fn a_test_ends_when_another_process_copies_its_lane_again() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let (old, new) = two_harnesses(&external, &url);
    let mut overtaken = old.tx().await.unwrap();
    terminate_lock_session(&external).await;
    let mut tx = new.tx().await.unwrap();
    sqlx::query("insert into things (name) values ('the one')")
        .execute(&mut *tx)
        .await
        .unwrap();
    let ended = sqlx::query("insert into things (name) values ('the one')")
        .execute(&mut *overtaken)
        .await;
    assert_eq!(
        ebbtide::Error::from(ended.expect_err("the other process has ended this test's session"))
            .kind(),
        ErrorKind::ServerLost
    );
    assert_eq!(
        overtaken
            .close()
            .await
            .expect_err("a test without its session cannot be closed")
            .kind(),
        ErrorKind::ServerLost
    );
    tx.close().await.unwrap();
}
