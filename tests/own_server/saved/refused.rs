//! Servers that do not save their data.

use rustix::process::Signal;
use sqlx::Connection as _;

use super::{end, testbed, time_of_build};
use crate::support::sql::run;
use crate::support::{current_thread_runtime, runs_natively, this_test};
use crate::testbed::Testbed;
use crate::worker::Worker;

/// Builds a template, ends the server in some way, and asserts that no data was saved.
fn assert_not_saved(
    testbed: &Testbed,
    variables: &[(&str, &str)],
    finish: impl FnOnce(&Testbed, Worker),
) {
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (*name, value.into()))
        .collect();
    let mut worker = testbed.worker_with(&variables);
    time_of_build(&mut worker, "built");
    finish(testbed, worker);
    testbed.wait_until_nothing_is_left();
    assert!(testbed.saved().is_empty());
}

#[test]
fn a_server_that_ends_otherwise_than_unused_saves_nothing() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = testbed();
    assert_not_saved(&testbed, &[("EBBTIDE_CACHE", "never")], end);
    assert_not_saved(&testbed, &[("EBBTIDE_DEDICATED", "always")], end);
    let linger = [("EBBTIDE_LINGER", "60s")];
    assert_not_saved(&testbed, &linger, |testbed, worker| {
        assert_eq!(worker.end().code(), Some(0));
        testbed.server().supervisor.signal(Signal::TERM);
    });
    assert_not_saved(&testbed, &linger, |testbed, worker| {
        testbed.server().postmaster.kill();
        worker.kill();
    });
}

#[test]
fn a_server_with_something_that_ebbtide_did_not_create_saves_nothing() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = testbed();
    for statements in [
        &["create role stranger"][..],
        &["alter role postgres set work_mem = '5MB'"],
        &["alter system set work_mem = '5MB'"],
        &["create database stranger"],
        &["create table stranger ()"],
        &["grant pg_monitor to postgres"],
        &["create schema stranger"],
        &["comment on role postgres is 'a stranger'"],
        &["grant set on parameter log_min_messages to public"],
        &["select lo_create(0)"],
        &["select pg_replication_origin_create('stranger')"],
        &["create subscription stranger connection '' publication stranger with (connect = false)"],
        &[
            "set allow_in_place_tablespaces = on",
            "create tablespace stranger location ''",
        ],
    ] {
        assert_not_saved(&testbed, &[], |testbed, worker| {
            current_thread_runtime().block_on(async {
                let mut admin = testbed.admin().await;
                for statement in statements {
                    run(&mut admin, statement).await.unwrap();
                }
                admin.close().await.unwrap();
            });
            end(testbed, worker);
        });
    }
}
