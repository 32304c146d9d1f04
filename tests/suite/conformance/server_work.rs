//! Holes in what the server does only at a commit, only outside transactions, or for all databases
//! at once.

use sqlx::postgres::{PgConnection, PgListener, PgPoolOptions};

use crate::conformance::children;
use crate::conformance::table::{Kind, Verdict};
use crate::conformance::world::World;
use crate::support::sql::{code, number, run, text};

/// Hole 3.
pub(crate) async fn frozen_clock(world: &World) -> Verdict {
    async fn moment(session: &mut PgConnection) -> (String, String, String) {
        let moment = "select now()::text, txid_current()::text, clock_timestamp()::text";
        sqlx::query_as(moment).fetch_one(session).await.unwrap()
    }
    let mut test = world.next().await;
    let (one, two) = {
        let mut session = test.session().await;
        (moment(&mut session).await, moment(&mut session).await)
    };
    test.end().await.unwrap();
    assert_ne!(
        one.2, two.2,
        "clock_timestamp() advances inside a transaction too"
    );
    match (one.0 == two.0, one.1 == two.1) {
        (false, false) => Verdict::Same,
        (true, true) => world.kind.difference(),
        other => panic!("now() and the transaction id must both change or both stay: {other:?}"),
    }
}

/// Hole 4.
pub(crate) async fn notifications(world: &World) -> Verdict {
    let mut test = world.next().await;
    let listening = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(test.second_options());
    let mut listener = PgListener::connect_with(&listening).await.unwrap();
    listener.listen("news").await.unwrap();
    test.run("notify news, 'of the test'").await.unwrap();
    // Notifications arrive in the order of the commits. If the second one arrives first, the test's
    // own notification was not sent.
    let mut other = test.second().await;
    run(&mut other, "notify news, 'of another session'")
        .await
        .unwrap();
    let payload = listener.recv().await.unwrap().payload().to_owned();
    sqlx::Connection::close(other).await.unwrap();
    drop(listener);
    listening.close().await;
    test.end().await.unwrap();
    match &*payload {
        "of the test" => Verdict::Same,
        _ => world.kind.difference(),
    }
}

/// Hole 14.
pub(crate) async fn outside_transactions(world: &World) -> Verdict {
    let database = format!("conformance_{}", uuid::Uuid::new_v4().simple());
    let create = format!("create database {database} template template0");
    let mut refused = Vec::new();
    for statement in [
        "vacuum parents",
        "create index concurrently on parents (name)",
        &create,
        "alter system reset work_mem",
    ] {
        // Each in its own test: after the first error, the transaction refuses everything.
        let mut test = world.next().await;
        let outcome = test.run(statement).await;
        if outcome.is_ok() && statement == create {
            test.run(&format!("drop database {database}"))
                .await
                .unwrap();
        }
        test.end().await.unwrap();
        match outcome {
            Ok(()) => {}
            Err(error) if code(&error) == "25001" => refused.push(error.to_string()),
            // insufficient_privilege: an ordinary role may do neither, in any kind of test.
            Err(error)
                if code(&error) == "42501"
                    && (statement == create || statement.starts_with("alter system")) => {}
            Err(error) => panic!("{statement}: {error}"),
        }
    }
    if refused.is_empty() {
        return Verdict::Same;
    }
    assert_eq!(
        refused.len(),
        4,
        "either all statements are refused or none: {refused:?}"
    );
    if world.kind == Kind::Plain {
        return Verdict::Refused;
    }
    let is_reported = children::report_contains(
        world,
        &["vacuum parents"],
        &["25001 VACUUM cannot run", "`ebbtide::Database`"],
    )
    .await;
    if is_reported {
        Verdict::Refused
    } else {
        Verdict::Silent
    }
}

/// Hole 15.
pub(crate) async fn new_enum_value(world: &World) -> Verdict {
    const ADD: &str = "alter type mood add value 'foggy'";
    const USE: &str = "select 'foggy'::mood";
    let mut test = world.next().await;
    test.run(ADD).await.unwrap();
    let used = test.run(USE).await;
    let listed = text(
        &mut *world.next().await.session().await,
        "select array_to_string(enum_range(null::mood), ', ')",
    )
    .await;
    test.end().await.unwrap();
    assert_eq!(
        listed, "calm, stormy",
        "the new value must not be visible to another test"
    );
    match used {
        Ok(()) => Verdict::Same,
        Err(error) => {
            // unsafe_new_enum_value_usage
            assert_eq!(code(&error), "55P04");
            if world.kind == Kind::Plain {
                return Verdict::Refused;
            }
            let is_reported = children::report_contains(
                world,
                &[ADD, USE],
                &[
                    "55P04",
                    "in a migration, or give the test an `ebbtide::Database`",
                ],
            )
            .await;
            if is_reported {
                Verdict::Refused
            } else {
                Verdict::Silent
            }
        }
    }
}

/// Hole 19.
pub(crate) async fn write_ahead_log(world: &World) -> Verdict {
    const POSITION: &str = "select (pg_current_wal_insert_lsn() - '0/0')::int8";
    let mut test = world.next().await;
    let before = number(&mut *test.session().await, POSITION).await;
    let mut neighbour = world.next().await;
    neighbour
        .run("insert into parents (name) values ('of another test')")
        .await
        .unwrap();
    neighbour.end().await.unwrap();
    let after = number(&mut *test.session().await, POSITION).await;
    test.end().await.unwrap();
    // The position of a log that only this test wrote to would not have moved.
    if after == before {
        Verdict::Same
    } else {
        world.kind.difference()
    }
}
