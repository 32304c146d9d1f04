//! Holes in what belongs to the server and not to a database, and in what an inner transaction leaves in the outer one.

use sqlx::{Connection as _, PgConnection};

use crate::next_test::judged;
use crate::table::Verdict;
use crate::world::{World, code, number, run, text};

/// A name that no other test has.
fn unique() -> String {
    format!("conformance_{}", uuid::Uuid::new_v4().simple())
}

/// Hole 21.
pub(crate) async fn server_objects(world: &World) -> Verdict {
    let name = unique();
    let mut test = world.next().await;
    let made = match test.run(&format!("create role {name}")).await {
        // insufficient_privilege: a database is the server's as well.
        Err(error) if code(&error) == "42501" => {
            // A transaction refuses it, and nothing is left.
            let _ = test
                .run(&format!("create database {name} template template0"))
                .await;
            "database"
        }
        made => {
            made.unwrap();
            "role"
        }
    };
    test.end().await.unwrap();

    let mut next = world.next().await;
    let count = format!(
        "select (select count(*) from pg_roles where rolname = '{name}') + (select count(*) from pg_database where datname = '{name}')"
    );
    let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count))
        .fetch_one(&mut *next.session().await)
        .await
        .unwrap();
    if left > 0 {
        next.run(&format!("drop {made} {name}")).await.unwrap();
    }
    next.end().await.unwrap();
    if left > 0 {
        world.kind.difference()
    } else {
        judged(false, true)
    }
}

/// Hole 29.
pub(crate) async fn same_role(world: &World) -> Verdict {
    let name = unique();
    let (mut one, mut two) = (world.next().await, world.next().await);
    let create = format!("create role {name}");
    let first = one.run(&create).await;
    let second = two.run(&format!("set lock_timeout = '1s'; {create}")).await;
    // It is there after a commit only.
    let is_committed = matches!(&second, Err(error) if code(error) == "42710");
    if is_committed {
        one.run(&format!("drop role {name}")).await.unwrap();
    }
    two.end().await.unwrap();
    one.end().await.unwrap();
    match (first, second) {
        (Err(error), _) if code(&error) == "42501" => Verdict::NotHere,
        // lock_not_available, duplicate_object
        (Ok(()), Err(error)) if is_committed || code(&error) == "55P03" => world.kind.difference(),
        other => panic!("both have made it: {other:?}"),
    }
}

/// What a transaction of the application's leaves in the next one.
const AFTERWARDS: &str = "select concat_ws(', ', current_setting('work_mem'), current_user, current_setting('search_path'), \
    current_setting('transaction_read_only'), coalesce(nullif(current_setting('app.tenant', true), ''), 'none'))";

/// Hole 22.
pub(crate) async fn inner_settings(world: &World) -> Verdict {
    let mut test = world.next().await;
    let is_wrapped = test.is_wrapped().await;
    let before = text(&mut *test.session().await, AFTERWARDS).await;
    {
        let mut session = test.session().await;
        let mut transaction = session.begin().await.unwrap();
        let settings = "set local work_mem = '1MB'; set local search_path = pg_catalog; \
                        select set_config('app.tenant', '1', true)";
        run(&mut transaction, settings).await.unwrap();
        assert_ne!(text(&mut transaction, AFTERWARDS).await, before);
        transaction.commit().await.unwrap();
    }
    // The connection has been back in the pool, where there is one.
    let after = text(&mut *test.session().await, AFTERWARDS).await;
    test.end().await.unwrap();
    match (after == before, is_wrapped) {
        (true, true) => Verdict::Closed,
        (true, false) => Verdict::Same,
        (false, _) => world.kind.difference(),
    }
}

/// Hole 23.
pub(crate) async fn inner_locks(world: &World) -> Verdict {
    let key = "('x' || substr(md5(current_database()), 1, 15))::bit(60)::bigint";
    let mut test = world.next().await;
    let is_wrapped = test.is_wrapped().await;
    {
        let mut session = test.session().await;
        let mut transaction = session.begin().await.unwrap();
        run(
            &mut transaction,
            &format!("select pg_advisory_xact_lock({key})"),
        )
        .await
        .unwrap();
        transaction.commit().await.unwrap();
    }
    let mut other: PgConnection = test.second().await;
    let held = "select count(*) from pg_locks where locktype = 'advisory' and granted \
                and database = (select oid from pg_database where datname = current_database())";
    let is_held = number(&mut other, held).await > 0;
    other.close().await.unwrap();
    test.end().await.unwrap();
    match (is_held, is_wrapped) {
        (false, true) => Verdict::Closed,
        (false, false) => Verdict::Same,
        (true, _) => world.kind.difference(),
    }
}
