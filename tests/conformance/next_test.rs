//! Holes that the next test would fall into: what one test leaves behind.

use std::pin::pin;

use ebbtide::ErrorKind;
use sqlx::{Connection as _, PgConnection};

use crate::table::{Kind, Verdict};
use crate::world::{Lent, World, code, lane_of, number, run, text};

/// The transactions after which a lane is copied anew, as `src/lane/leased.rs` has it.
const USES: usize = 5_000;

/// Whether the next test met something, and whether it used the same database.
pub(crate) fn judged(is_left: bool, is_same_database: bool) -> Verdict {
    match (is_left, is_same_database) {
        (true, _) => Verdict::Silent,
        (false, true) => Verdict::Closed,
        (false, false) => Verdict::Same,
    }
}

/// Hole 1.
pub(crate) async fn sequences(world: &World) -> Verdict {
    async fn drawn(test: &mut Lent) -> (i64, i64) {
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
    assert_eq!(drawn(&mut test).await, (1, 100));
    test.run("insert into parents (name) values ('b'); select setval('tickets', 5000)")
        .await
        .unwrap();
    test.end().await.unwrap();

    let mut next = world.next_on(&database).await;
    let is_same = next.database().await == database;
    let is_left = drawn(&mut next).await != (1, 100);
    next.end().await.unwrap();
    judged(is_left, is_same)
}

/// Hole 5.
pub(crate) async fn advisory_locks(world: &World) -> Verdict {
    let mut test = world.next().await;
    let database = test.database().await;
    test.run("select pg_advisory_lock(7)").await.unwrap();
    test.end().await.unwrap();

    let mut next = world.next_on(&database).await;
    let is_same = next.database().await == database;
    // Another session: the one that has the lock would get it again. It may wait, because a session that was told to
    // end takes a moment.
    let mut other = next.second().await;
    let got = run(
        &mut other,
        "set lock_timeout = '2s'; select pg_advisory_lock(7)",
    )
    .await;
    sqlx::Connection::close(other).await.unwrap();
    next.end().await.unwrap();
    match got {
        Ok(()) => judged(false, is_same),
        Err(error) => judged(code(&error) == "55P03", is_same),
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
    judged(is_left, is_same)
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
    // So many that a lane's last use is among them, and few where nobody counts.
    let tests = match world.kind {
        Kind::Tx | Kind::Sandbox => {
            use_often(world, &database, USES - 20).await;
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
            // The tests before this loop may have worn it out, and have left dead rows in the copy that followed.
            assert!(
                round == 0 || last_size == 0,
                "there are no dead rows in a new copy: {last_size}"
            );
            return judged(false, is_same_lane);
        }
    }
    judged(last_size > 0, true)
}

/// A test on a lane that has not been used since it was copied: whoever leaves the transaction spoils the lane.
pub(crate) async fn on_a_new_copy(world: &World) -> Lent {
    let mut tx = world.harness().tx().await.unwrap();
    let database = lane_of(text(&mut tx, "select current_database()::text").await);
    run(&mut tx, "rollback").await.unwrap();
    assert_eq!(
        tx.close().await.unwrap_err().kind(),
        ErrorKind::TransactionEscaped
    );
    world.next_on(&database).await
}

/// Transactions, which are quick, on one lane.
async fn use_often(world: &World, database: &str, times: usize) {
    let mut on_others = Vec::new();
    let mut done = 0;
    while done < times {
        let mut tx = world.harness().tx().await.unwrap();
        let inserting =
            "insert into parents (name) values ('a') returning current_database()::text";
        if lane_of(text(&mut tx, inserting).await) == database {
            tx.close().await.unwrap();
            done += 1;
        } else {
            on_others.push(tx);
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
        "what came late went nowhere"
    );
    judged(is_left, is_same)
}

const LATE_INSERT: &str = "insert into parents (name) values ('late')";

/// The test gives up waiting for a statement, and the server goes on with it.
async fn leave_a_statement(mut test: Lent) -> bool {
    // On another database, since the sessions on this one are ended with the test.
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
                _ = &mut late => panic!("the statement takes minutes"),
                is_active = is_asleep(&mut watcher, pid) => if is_active { break },
            }
        }
    }
    drop(session);
    test.end().await.unwrap();
    // The session may serve the next test by now, but not with that statement.
    let is_gone = !is_asleep(&mut watcher, pid).await;
    watcher.close().await.unwrap();
    is_gone
}

async fn is_asleep(watcher: &mut PgConnection, pid: i64) -> bool {
    let asleep =
        "select exists (select from pg_stat_activity where pid = $1 and wait_event = 'PgSleep')";
    sqlx::query_scalar(asleep)
        .bind(pid)
        .fetch_one(watcher)
        .await
        .unwrap()
}

/// A task of the test's still has a connection of the pool.
async fn leave_a_connection(test: Lent) -> bool {
    let pool = test.pool().unwrap();
    let mut held = pool.acquire().await.unwrap();
    let told = test.end().await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::StillInUse);
    let name = std::thread::current().name().unwrap().to_owned();
    assert!(told.to_string().contains(&name), "{told}");
    run(&mut held, LATE_INSERT).await.is_err() && pool.acquire().await.is_err()
}

/// A session that the test knows nothing of.
async fn leave_a_session(test: Lent) -> bool {
    let mut left = test.second().await;
    test.end().await.unwrap();
    run(&mut left, LATE_INSERT).await.is_err()
}
