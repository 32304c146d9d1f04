//! Builds that fail or are killed, and servers that cannot be restored.

use std::path::PathBuf;
use std::time::Duration;

use ebbtide::ErrorKind;
use ebbtide::config::Builder;

use super::{end_servers_of, roles};
use crate::support::{Scratch, runs_natively, this_test, wait_until};
use crate::testbed::{Testbed, drop_all_databases};

/// Writes a migration that fails while the returned file exists.
///
/// Changing the migration instead would change the fingerprint, and the second build would get
/// another server.
fn write_failing_migration(scratch: &Scratch, name: &str) -> PathBuf {
    let broken = scratch.write("broken", "");
    let fail = format!(
        "select 1 / (case when f.size is null then 1 else 0 end) from pg_stat_file('{}', true) f;",
        broken.display()
    );
    scratch.write(&format!("migrations/{name}"), &fail);
    broken
}

/// A server whose linger keeps it between two builds.
fn lingering_server(scratch: &Scratch) -> Builder {
    scratch.own_server().linger(Duration::from_secs(20))
}

#[tokio::test]
async fn a_failed_build_leaves_no_role_that_blocks_the_next_build() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_roles.sql",
        "create role app; create role owner in role app; grant set on parameter log_statement to public; \
         alter role all set a.b = 'c'; alter database postgres set a.b = 'd'; create table things (id int);",
    );
    scratch.write(
        "migrations/2_system.sql",
        "-- no-transaction\nalter system set work_mem = '5MB'",
    );
    scratch.write(
        "migrations/3_other.sql",
        "-- no-transaction\ncreate database other owner owner",
    );
    let broken = write_failing_migration(&scratch, "4_fails.sql");
    let builder = || lingering_server(&scratch);
    let error = builder()
        .build()
        .unwrap()
        .provision()
        .await
        .expect_err("the file exists");
    assert_eq!(error.kind(), ErrorKind::Migration, "{error:?}");
    let error = builder()
        .build()
        .unwrap()
        .provision()
        .await
        .expect_err("the file still exists");
    assert!(format!("{error:?}").contains("4_fails.sql"), "{error:?}");
    std::fs::remove_file(broken).unwrap();
    let next = builder().build().unwrap();
    assert!(next.start().await.unwrap().reused);
    assert!(!next.provision().await.unwrap().reused);
    assert_eq!(roles(&next).await, "app owner");
    // The same after the template was dropped, as ebbtide drops a template that is not used for
    // long. `database` uses the lane exclusively, so that no copy runs in the background
    // afterwards. For a Tx whose URL was read, ebbtide copies the lane again in the background.
    let database = next.database().await.unwrap();
    let admin = format!("{}/postgres", database.url().rsplit_once('/').unwrap().0);
    database.close().await.unwrap();
    drop(next);
    drop_all_databases(&admin).await;
    let last = builder().build().unwrap();
    assert!(last.start().await.unwrap().reused);
    assert!(!last.provision().await.unwrap().reused);
    assert_eq!(roles(&last).await, "app owner");
    drop(last);
    end_servers_of(&scratch);
}

#[tokio::test]
async fn a_dedicated_server_that_cannot_be_restored_is_replaced() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    // ebbtide cannot undo a change of the superuser's own attributes.
    scratch.write(
        "migrations/1_roles.sql",
        "alter role postgres connection limit 77; create table things (id int);",
    );
    let broken = write_failing_migration(&scratch, "2_fails.sql");
    let builder = || lingering_server(&scratch);
    let first = builder().build().unwrap();
    first.provision().await.expect_err("the file exists");
    std::fs::remove_file(broken).unwrap();
    let next = builder().build().unwrap();
    assert!(!next.provision().await.unwrap().reused);
    assert!(!next.start().await.unwrap().reused);
    drop((first, next));
    end_servers_of(&scratch);
}

#[test]
fn a_killed_build_leaves_no_role_that_blocks_the_next_build() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new().linger(Duration::from_secs(20));
    testbed.write(
        "migrations/2_roles.sql",
        "create role app; alter role current_user set work_mem = '5MB';",
    );
    let slow = testbed.write_sleeping_migration("3_slow.sql");
    let mut killed = testbed.worker();
    killed.send("open");
    wait_until("the last migration runs", || {
        testbed.processes().iter().any(|process| {
            process.arguments[0].contains("ebbtide_b_") && process.arguments[0].contains("SELECT")
        })
    });
    let mut next = testbed.repeat_killed_build(killed, &slow);
    assert_eq!(
        next.execute("query select string_agg(rolname, ' ') from pg_roles where oid >= 16384"),
        "app"
    );
    drop(next);
    testbed.end_servers();
}
