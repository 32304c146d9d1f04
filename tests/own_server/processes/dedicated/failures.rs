//! Builds that fail or are killed, and servers that cannot be restored.

use ebbtide::ErrorKind;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{end_servers_of, roles};
use crate::support::{Scratch, runs_natively, this_test, wait_until};
use crate::testbed::Testbed;

#[tokio::test]
async fn a_failed_build_leaves_no_role_that_blocks_the_next_build() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    // The last migration fails while this file exists. Changing the migration instead would change
    // the fingerprint, and the second build would get another server.
    let broken = scratch.write("broken", "");
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
    let fail = format!(
        "select 1 / (case when f.size is null then 1 else 0 end) from pg_stat_file('{}', true) f;",
        broken.display()
    );
    scratch.write("migrations/4_fails.sql", &fail);
    // The linger keeps the server between the builds.
    let builder = || {
        scratch
            .own_server()
            .linger(std::time::Duration::from_secs(20))
    };
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
    let mut admin = PgConnection::connect(&admin).await.unwrap();
    let names = "select datname::text from pg_database where datname ~ '^ebbtide_'";
    let names: Vec<String> = sqlx::query_scalar(names)
        .fetch_all(&mut admin)
        .await
        .unwrap();
    for name in names {
        let drop =
            format!("alter database {name} is_template false; drop database {name} with (force)");
        for statement in drop.split("; ") {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut admin)
                .await
                .unwrap();
        }
    }
    admin.close().await.unwrap();
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
    let broken = scratch.write("broken", "");
    let fail = format!(
        "select 1 / (case when f.size is null then 1 else 0 end) from pg_stat_file('{}', true) f;",
        broken.display()
    );
    // ebbtide cannot undo a change of the superuser's own attributes.
    scratch.write(
        "migrations/1_roles.sql",
        "alter role postgres connection limit 77; create table things (id int);",
    );
    scratch.write("migrations/2_fails.sql", &fail);
    let builder = || {
        scratch
            .own_server()
            .linger(std::time::Duration::from_secs(20))
    };
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
    let testbed = Testbed::new().linger(std::time::Duration::from_secs(20));
    // The last migration sleeps while this file exists. Both processes have the same migrations, so
    // they need the same template.
    let slow = testbed.write("slow", "");
    testbed.write(
        "migrations/2_roles.sql",
        "create role app; alter role current_user set work_mem = '5MB';",
    );
    let sleep = format!(
        "select pg_sleep(600) from pg_stat_file('{}', true) as f where f.size is not null;",
        slow.display()
    );
    testbed.write("migrations/3_slow.sql", &sleep);
    let mut killed = testbed.worker();
    killed.send("open");
    wait_until("the last migration runs", || {
        testbed.processes().iter().any(|process| {
            process.arguments[0].contains("ebbtide_b_") && process.arguments[0].contains("SELECT")
        })
    });
    killed.kill();
    std::fs::remove_file(slow).unwrap();
    let mut next = testbed.worker();
    assert_eq!(
        [next.execute("start"), next.execute("provision")],
        ["reused", "built"]
    );
    next.execute("open");
    assert_eq!(
        next.execute("query select string_agg(rolname, ' ') from pg_roles where oid >= 16384"),
        "app"
    );
    drop(next);
    testbed.end_servers();
}
