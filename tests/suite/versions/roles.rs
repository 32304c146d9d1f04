//! Migrations after the version that touch the whole server, or that other code waits for.

use ebbtide::{Harness, Setup};

use super::project::LAYOUTS;
use crate::support::{Scratch, pool_sql, runs_natively, this_test};

const ROLES: &str = "select count(*) from pg_roles where rolname = 'versions_reader'";

async fn roles(harness: &Harness) -> i64 {
    let database = harness.database().await.unwrap();
    let roles = pool_sql::number(&database.pool(), ROLES).await;
    database.close().await.unwrap();
    roles
}

#[tokio::test]
async fn a_role_of_a_later_migration_stays_on_a_server_of_its_own() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_people.sql", "create table people (id int);");
    scratch.write("migrations/2_role.sql", "create role versions_reader;");
    let harness = scratch.own_server().build().unwrap();
    let at_one = harness.with_setup(Setup::new().migrations_up_to(1));
    let shared = scratch.own_server().without_migrations().build().unwrap();
    assert_eq!(roles(&shared).await, 0);
    let database = at_one.database().await.unwrap();
    assert_eq!(pool_sql::number(&database.pool(), ROLES).await, 0);
    assert_eq!(database.migrate().await.unwrap().to_string(), "applied 2");
    assert_eq!(pool_sql::number(&database.pool(), ROLES).await, 1);
    assert_eq!(roles(&shared).await, 0, "other projects use this server");
    database.close().await.unwrap();
    drop((harness, at_one, shared));
    scratch.wait_until_servers_end();
}

#[tokio::test]
async fn another_task_can_migrate_and_two_calls_run_one_after_the_other() {
    let scratch = Scratch::new();
    let harness = LAYOUTS[0].builder(&scratch).build().unwrap();
    let at_nine = harness.with_setup(Setup::new().migrations_up_to(9));
    let database = std::sync::Arc::new(at_nine.database().await.unwrap());
    let calls = [(); 2].map(|()| {
        let database = std::sync::Arc::clone(&database);
        tokio::spawn(async move { database.migrate().await })
    });
    let mut changes = Vec::new();
    for call in calls {
        changes.push(call.await.unwrap().unwrap().to_string());
    }
    changes.sort();
    assert_eq!(changes, ["applied 10, 41", "nothing ran"]);
}

#[test]
fn a_test_that_is_not_async_migrates_as_well() {
    let scratch = Scratch::new();
    let harness = LAYOUTS[0].builder(&scratch).build().unwrap();
    let at_nine = harness.with_setup(Setup::new().migrations_up_to(9));
    let database = ebbtide::blocking::database_of(&at_nine).unwrap();
    let change = ebbtide::blocking::migrate_to(&database, 10).unwrap();
    assert_eq!(change.to_string(), "applied 10");
    let change = ebbtide::blocking::migrate(&database).unwrap();
    assert_eq!(change.to_string(), "applied 41");
    ebbtide::blocking::close(database).unwrap();
}
