//! Migrations that change the whole server, in containers. They get a dedicated container.

use std::time::Duration;

use ebbtide::Harness;

use super::testbed::{ContainerTestbed, runs_on_containers};
use crate::support::this_test;
use crate::testbed::drop_all_databases;

async fn roles(harness: &Harness) -> String {
    let mut tx = harness.tx().await.unwrap();
    let roles = "select coalesce(string_agg(rolname, ' '), '') from pg_roles where oid >= 16384";
    let roles = sqlx::query_scalar(roles).fetch_one(&mut *tx).await.unwrap();
    tx.close().await.unwrap();
    roles
}

#[tokio::test]
async fn a_template_with_a_role_is_built_again_in_the_same_dedicated_container() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let testbed = ContainerTestbed::new();
    testbed.base.write(
        "roles/1_roles.sql",
        "create role app; create table things (id int);",
    );
    let builder = || {
        testbed
            .builder()
            .migrations(testbed.base.path("roles"))
            .linger(Duration::from_secs(10))
    };
    let plain = testbed
        .builder()
        .linger(Duration::from_secs(10))
        .build()
        .unwrap();
    let first = builder().build().unwrap();
    assert_eq!([roles(&first).await, roles(&plain).await], ["app", ""]);
    assert_eq!(testbed.containers().len(), 2);

    // `database` uses the lane exclusively, so that no copy runs in the background afterwards. For
    // a Tx whose URL was read, ebbtide copies the lane again in the background.
    let database = first.database().await.unwrap();
    let server = database
        .url()
        .rsplit_once("/ebbtide_")
        .unwrap()
        .0
        .to_owned();
    database.close().await.unwrap();
    drop(first);
    drop_all_databases(&format!("{server}/postgres")).await;
    let next = builder().build().unwrap();
    assert!(next.start().await.unwrap().reused);
    assert!(!next.provision().await.unwrap().reused);
    assert_eq!(roles(&next).await, "app");
    drop((next, plain));
    testbed.wait_until_nothing_is_left();
}
