//! Lanes that tests use at the same time or one after the other, and connections to them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use super::{count, database, harness, insert_parent};
use crate::support::child_process::{child_role, test_command_as};
use crate::support::sql::{run, text, text_at};
use crate::support::{Scratch, current_thread_runtime, this_test};
use ebbtide::config::Backend;

#[tokio::test]
async fn tests_at_the_same_time_neither_see_nor_block_each_other() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut transactions = Vec::new();
    for _ in 0..4 {
        let mut tx = harness.tx().await.unwrap();
        // The same unique value in each: on one database, the second insert would wait for the
        // first.
        assert_eq!(insert_parent(&mut tx, "same").await, 1);
        run(&mut tx, "select pg_advisory_lock(1)").await.unwrap();
        transactions.push(tx);
    }
    for mut tx in transactions {
        assert_eq!(count(&mut tx, "parents").await, 1);
        tx.close().await.unwrap();
    }
}

#[test]
fn a_test_that_panics_leaves_a_usable_lane() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for _ in 0..3 {
        let harness = harness.clone();
        let panicked = std::thread::spawn(move || {
            let runtime = current_thread_runtime();
            runtime.block_on(async {
                let mut tx = harness.tx().await.unwrap();
                assert_eq!(insert_parent(&mut tx, "a").await, 1);
                panic!("on purpose");
            });
        });
        assert!(panicked.join().is_err());
    }
}

#[test]
fn connections_outlive_the_runtime_that_uses_them() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut databases = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut tx = harness.tx().await.unwrap();
            databases.insert(database(&mut tx).await);
            tx.close().await.unwrap();
        });
    }
    assert_eq!(databases.len(), 1, "each used the same lane: {databases:?}");
}

#[tokio::test]
async fn a_cancelled_opening_does_not_affect_the_next_test() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    harness.tx().await.unwrap().close().await.unwrap();
    for polls in 0..6 {
        let mut opening = Box::pin(harness.tx());
        for _ in 0..polls {
            let waker = std::task::Waker::noop();
            if opening
                .as_mut()
                .poll(&mut std::task::Context::from_waker(waker))
                .is_ready()
            {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(opening);
        let mut tx = harness.tx().await.unwrap();
        assert_eq!(insert_parent(&mut tx, "a").await, 1);
        tx.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_application_name_is_the_tests_name() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = harness.tx().await.unwrap();
    let name = text(&mut tx, "show application_name").await;
    assert_eq!(name, std::thread::current().name().unwrap());
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_client_that_uses_the_url_reaches_the_same_database() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = harness.tx().await.unwrap();
    let query = "select current_database()";
    assert_eq!(text_at(&tx.url(), query).await, text(&mut tx, query).await);
    tx.close().await.unwrap();
}

#[test]
fn a_panic_is_also_reported_without_the_attribute() {
    if child_role().is_none() {
        let mut child = test_command_as("panics", this_test!())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map(Result::unwrap);
        lines
            .find(|line| line == "ebbtide: a test failed")
            .expect("the child prints a report");
        assert!(
            lines
                .next()
                .unwrap()
                .starts_with("  it had a Tx: ebbtide_l_")
        );
        let scratch = Scratch::new();
        let harness = scratch.builder().build().unwrap();
        if harness.plan().get("backend").unwrap().value == Backend::External.to_string() {
            // Most roles may not read the log of an external server.
            assert!(
                lines
                    .next()
                    .unwrap()
                    .starts_with("  the server's log cannot be read: ")
            );
        } else {
            assert_eq!(lines.next().unwrap(), "  the server refused:");
            assert_eq!(lines.next().unwrap(), "    22012 division by zero");
        }
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        return;
    }
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let panicked = std::thread::spawn(move || {
        let runtime = current_thread_runtime();
        runtime.block_on(async {
            let mut tx = harness.tx().await.unwrap();
            run(&mut tx, "select 1 / 0").await.unwrap();
        });
    });
    assert!(panicked.join().is_err());
    // The background runtime prints the report, and would not finish if the process ended now. So the
    // child waits until the parent closes its stdin.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
