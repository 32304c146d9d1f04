//! What killed processes leave of forks and checkpoints.

use std::time::Duration;

use sqlx::Connection as _;

use crate::support::sql::run;
use crate::support::{runs_natively, this_test};
use crate::testbed::{Testbed, wait_for_count};

/// The databases of forks and checkpoints.
const COPIES: &str = "select count(*) from pg_database where datname like 'ebbtide\\_l\\_%' \
     and split_part(datname::text, '_', 4)::int >= 64";
/// Sessions that wait for the lock that the test holds.
const CREATING: &str = "select count(*) from pg_stat_activity \
     where wait_event_type = 'Lock' and query like 'create database %'";

#[tokio::test]
async fn a_killed_process_leaves_no_fork_for_longer_than_until_the_next_one() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new().linger(Duration::from_secs(20));
    // By default, the server of version 14 or later ends the statement of a dead client within a
    // second. Others do not.
    let settings = "[server]\nsettings = { client_connection_check_interval = '0' }\n";
    testbed.write("ebbtide.toml", settings);
    let mut killed = testbed.worker();
    killed.execute("database");
    let (mut admin, mut watch) = (testbed.admin().await, testbed.admin().await);

    // In the middle: the server goes on with the copy, whose client is dead.
    run(&mut admin, "begin; lock table pg_database in share mode")
        .await
        .unwrap();
    killed.send("fork");
    wait_for_count(&mut watch, CREATING, 1).await;
    killed.kill();
    let mut next = testbed.worker();
    next.send("open");
    wait_for_count(&mut watch, CREATING, 0).await;
    run(&mut admin, "commit").await.unwrap();
    next.answer().unwrap();
    assert_eq!(next.execute("query select count(*)::text from things"), "0");
    wait_for_count(&mut watch, COPIES, 0).await;

    // Afterwards.
    next.execute("database");
    next.execute("fork");
    next.execute("checkpoint");
    wait_for_count(&mut watch, COPIES, 2).await;
    next.kill();
    let mut last = testbed.worker();
    last.execute("open");
    wait_for_count(&mut watch, COPIES, 0).await;
    admin.close().await.unwrap();
    watch.close().await.unwrap();
    drop(last);
    testbed.end_servers();
}
