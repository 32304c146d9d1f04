//! Holes that affect the next test: what one test leaves behind.

use std::pin::pin;

use ebbtide::ErrorKind;
use sqlx::{Connection as _, PgConnection};

use crate::conformance::table::{Kind, Verdict};
use crate::conformance::world::{ProbeTest, World, lane_of};
use crate::support::sql::{code, number, run, text};

/// The number of tests after which a lane is copied again: `MAX_USES` in `src/lane/leased.rs`.
const MAX_USES: usize = 5_000;

/// The verdict from two observations of the next test: whether something was left, and whether it
/// used the same database.
pub(crate) fn next_test_verdict(is_left: bool, is_same_database: bool) -> Verdict {
    match (is_left, is_same_database) {
        (true, _) => Verdict::Silent,
        (false, true) => Verdict::Closed,
        (false, false) => Verdict::Same,
    }
}

/// Hole 1.
pub(crate) async fn sequences(world: &World) -> Verdict {
    async fn drawn_numbers(test: &mut ProbeTest) -> (i64, i64) {
        let mut session = test.session().await;
        let id = number(
            &mut session,
            "insert into parents (name) values ('a') returning id",
        )
        .await;
        (id, number(&mut session, "select nextval('tickets')").await)
    }
    let mut test = world.next().await;
    let database = test.database().await;
    assert_eq!(drawn_numbers(&mut test).await, (1, 100));
    test.run("insert into parents (name) values ('b'); select setval('tickets', 5000)")
        .await
        .unwrap();
    test.end().await.unwrap();

    let mut next = world.next_on(&database).await;
    let is_same = next.database().await == database;
    let is_left = drawn_numbers(&mut next).await != (1, 100);
    next.end().await.unwrap();
    next_test_verdict(is_left, is_same)
}

/// Hole 5.
pub(crate) async fn advisory_locks(world: &World) -> Verdict {
    let mut test = world.next().await;
    let database = test.database().await;
    test.run("select pg_advisory_lock(7)").await.unwrap();
    test.end().await.unwrap();

    let mut next = world.next_on(&database).await;
    let is_same = next.database().await == database;
    // From another session, because a session that holds the lock would get it again. The lock may
    // take a moment, because a terminated session does not end immediately.
    let mut other = next.second().await;
    let locked = run(
        &mut other,
        "set lock_timeout = '2s'; select pg_advisory_lock(7)",
    )
    .await;
    sqlx::Connection::close(other).await.unwrap();
    next.end().await.unwrap();
    match locked {
        Ok(()) => next_test_verdict(false, is_same),
        Err(error) => next_test_verdict(code(&error) == "55P03", is_same),
    }
}

/// Hole 6.
pub(crate) async fn session_state(world: &World) -> Verdict {
    let mut test = world.next().await;
    let database = test.database().await;
    let before = state(&mut *test.session().await).await;
    {
        let mut session = test.session().await;
        run(
            &mut session,
            "prepare mine as select 1; listen news; declare held cursor with hold for select 1",
        )
        .await
        .unwrap();
        run(
            &mut session,
            "create temporary table scratch (id int); set search_path = nowhere",
        )
        .await
        .unwrap();
        assert_ne!(state(&mut session).await, before);
    }
    test.end().await.unwrap();

    let mut next = world.next_on(&database).await;
    let is_same = next.database().await == database;
    let is_left = state(&mut *next.session().await).await != before;
    next.end().await.unwrap();
    next_test_verdict(is_left, is_same)
}

async fn state(session: &mut PgConnection) -> String {
    let all = "
        select format('%s statements, %s channels, %s cursors, %s tables, %s',
            (select count(*) from pg_prepared_statements where from_sql),
            (select count(*) from pg_listening_channels()),
            (select count(*) from pg_cursors where is_holdable),
            (select count(*) from pg_class where relnamespace = pg_my_temp_schema()),
            current_setting('search_path'))";
    text(session, all).await
}

/// Hole 18.
pub(crate) async fn wear(world: &World) -> Verdict {
    let mut first = match world.kind {
        Kind::Tx | Kind::Sandbox | Kind::Database => on_a_new_copy(world).await,
        Kind::SqlxTest | Kind::Plain => world.next().await,
    };
    let (database, copy) = (first.database().await, first.oid().await);
    first.end().await.unwrap();
    // Enough for the lane to reach its limit of uses, and fewer where there is no such limit.
    let tests = match world.kind {
        Kind::Tx | Kind::Sandbox => {
            use_often(world, &database, MAX_USES - 20).await;
            30
        }
        Kind::Database | Kind::Plain => 300,
        Kind::SqlxTest => 1,
    };
    let mut last_size = 0;
    for round in 0..tests {
        let mut test = world.next_on(&database).await;
        let is_same_lane = test.database().await == database;
        let is_same_copy = test.oid().await == copy;
        last_size = number(
            &mut *test.session().await,
            "select pg_relation_size('parents')",
        )
        .await;
        test.run("insert into parents (name) values ('a')")
            .await
            .unwrap();
        test.end().await.unwrap();
        if !is_same_copy {
            // In the first round, the lane may have been copied before the loop, and the new copy
            // may already have dead rows.
            assert!(
                round == 0 || last_size == 0,
                "a new copy must have no dead rows, but parents has {last_size} bytes"
            );
            return next_test_verdict(false, is_same_lane);
        }
    }
    next_test_verdict(last_size > 0, true)
}

/// Starts a test on a new copy of a lane: a test that leaves its transaction causes the copy.
pub(crate) async fn on_a_new_copy(world: &World) -> ProbeTest {
    let mut tx = world.harness().tx().await.unwrap();
    let database = lane_of(text(&mut tx, "select current_database()::text").await);
    run(&mut tx, "rollback").await.unwrap();
    assert_eq!(
        tx.close().await.unwrap_err().kind(),
        ErrorKind::TransactionEscaped
    );
    world.next_on(&database).await
}

/// Uses one lane many times, in transactions, because they are quick. Transactions on other lanes
/// stay open meanwhile, so that the harness does not hand out those lanes again.
async fn use_often(world: &World, database: &str, times: usize) {
    let mut on_other_lanes = Vec::new();
    let mut uses = 0;
    while uses < times {
        let mut tx = world.harness().tx().await.unwrap();
        let insert = "insert into parents (name) values ('a') returning current_database()::text";
        if lane_of(text(&mut tx, insert).await) == database {
            tx.close().await.unwrap();
            uses += 1;
        } else {
            on_other_lanes.push(tx);
        }
    }
}

/// Hole 20.
pub(crate) async fn late_work(world: &World) -> Verdict {
    let mut test = world.next().await;
    let database = test.database().await;
    let is_refused = match world.kind {
        Kind::Tx => leave_a_statement(test).await,
        Kind::Sandbox => leave_a_connection(test).await,
        Kind::Database | Kind::SqlxTest | Kind::Plain => leave_a_session(test).await,
    };
    let mut next = world.next_on(&database).await;
    let is_same = next.database().await == database;
    let is_left = number(&mut *next.session().await, "select count(*) from parents").await > 0;
    next.end().await.unwrap();
    assert!(
        is_left || is_refused || !is_same,
        "the late statement was neither refused nor executed"
    );
    next_test_verdict(is_left, is_same)
}

const LATE_INSERT: &str = "insert into parents (name) values ('late')";

/// Drops the future of a statement, which the server continues. Returns whether the statement is
/// gone after the test.
async fn leave_a_statement(mut test: ProbeTest) -> bool {
    // On another database, because the sessions of this one are terminated with the test.
    let mut watcher = PgConnection::connect_with(&test.second_options().database("postgres"))
        .await
        .unwrap();
    let mut session = test.session().await;
    let pid = number(&mut session, "select pg_backend_pid()::int8").await;
    {
        let mut late = pin!(run(
            &mut session,
            "insert into parents (name) select 'late' from pg_sleep(600)"
        ));
        loop {
            tokio::select! {
                _ = &mut late => panic!("pg_sleep(600) must still be running"),
                is_active = is_sleeping(&mut watcher, pid) => if is_active { break },
            }
        }
    }
    drop(session);
    test.end().await.unwrap();
    // The session may already serve the next test, but it must not execute that statement.
    let is_gone = !is_sleeping(&mut watcher, pid).await;
    watcher.close().await.unwrap();
    is_gone
}

/// Whether the session with this process id executes `pg_sleep`.
async fn is_sleeping(watcher: &mut PgConnection, pid: i64) -> bool {
    let sleeping =
        "select exists (select from pg_stat_activity where pid = $1 and wait_event = 'PgSleep')";
    sqlx::query_scalar(sleeping)
        .bind(pid)
        .fetch_one(watcher)
        .await
        .unwrap()
}

/// Holds a connection of the pool beyond the end of the test. Returns whether it is unusable then.
async fn leave_a_connection(test: ProbeTest) -> bool {
    let pool = test.pool().unwrap();
    let mut held = pool.acquire().await.unwrap();
    let error = test.end().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StillInUse);
    let name = std::thread::current().name().unwrap().to_owned();
    assert!(error.to_string().contains(&name), "{error}");
    run(&mut held, LATE_INSERT).await.is_err() && pool.acquire().await.is_err()
}

/// Holds a connection outside the pool beyond the end of the test. Returns whether it is unusable
/// then.
async fn leave_a_session(test: ProbeTest) -> bool {
    let mut left = test.second().await;
    test.end().await.unwrap();
    run(&mut left, LATE_INSERT).await.is_err()
}
