//! Holes in objects that belong to the whole server, and in what an inner transaction leaves to the
//! outer one.

use sqlx::{Connection as _, PgConnection};

use crate::conformance::next_test::next_test_verdict;
use crate::conformance::table::Verdict;
use crate::conformance::world::World;
use crate::support::sql::{code, number, run, text};

/// A name that no other test uses.
fn unique_name() -> String {
    format!("conformance_{}", uuid::Uuid::new_v4().simple())
}

/// Hole 21.
pub(crate) async fn server_objects(world: &World) -> Verdict {
    let name = unique_name();
    let mut test = world.next().await;
    let kind_of_object = match test.run(&format!("create role {name}")).await {
        // insufficient_privilege: a database belongs to the server too.
        Err(error) if code(&error) == "42501" => {
            let create = format!("create database {name} template template0");
            match test.run(&create).await {
                // The role may create nothing that belongs to the server.
                Err(error) if code(&error) == "42501" => {
                    test.end().await.unwrap();
                    return Verdict::Unsupported;
                }
                // Fails inside a transaction block, and then leaves nothing.
                Ok(()) | Err(_) => "database",
            }
        }
        created => {
            created.unwrap();
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
        next.run(&format!("drop {kind_of_object} {name}"))
            .await
            .unwrap();
    }
    next.end().await.unwrap();
    if left > 0 {
        world.kind.difference()
    } else {
        next_test_verdict(false, true)
    }
}

/// Hole 29.
pub(crate) async fn same_role(world: &World) -> Verdict {
    let name = unique_name();
    let (mut one, mut two) = (world.next().await, world.next().await);
    let create = format!("create role {name}");
    let first = one.run(&create).await;
    let second = two.run(&format!("set lock_timeout = '1s'; {create}")).await;
    // duplicate_object: the first test has committed the role.
    let is_committed = matches!(&second, Err(error) if code(error) == "42710");
    if is_committed {
        one.run(&format!("drop role {name}")).await.unwrap();
    }
    two.end().await.unwrap();
    one.end().await.unwrap();
    match (first, second) {
        (Err(error), _) if code(&error) == "42501" => Verdict::Unsupported,
        // lock_not_available, duplicate_object
        (Ok(()), Err(error)) if is_committed || code(&error) == "55P03" => world.kind.difference(),
        other => panic!("both tests created the role: {other:?}"),
    }
}

/// The settings that an inner transaction changes.
const SETTINGS: &str = "select concat_ws(', ', current_setting('work_mem'), current_user, current_setting('search_path'), \
    current_setting('transaction_read_only'), coalesce(nullif(current_setting('app.tenant', true), ''), 'none'))";

/// Hole 22.
pub(crate) async fn inner_settings(world: &World) -> Verdict {
    let mut test = world.next().await;
    let is_wrapped = test.is_wrapped().await;
    let before = text(&mut *test.session().await, SETTINGS).await;
    {
        let mut session = test.session().await;
        let mut transaction = session.begin().await.unwrap();
        let settings = "set local work_mem = '1MB'; set local search_path = pg_catalog; \
                        select set_config('app.tenant', '1', true)";
        run(&mut transaction, settings).await.unwrap();
        assert_ne!(text(&mut transaction, SETTINGS).await, before);
        transaction.commit().await.unwrap();
    }
    // If there is a pool, the connection has returned to it in between.
    let after = text(&mut *test.session().await, SETTINGS).await;
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
