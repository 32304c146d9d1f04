//! Holes of code that uses two connections at once.

use sqlx::{Connection as _, PgConnection};

use crate::conformance::children::{self, SECOND_CONNECTION};
use crate::conformance::table::Verdict;
use crate::conformance::world::{ProbeTest, World};
use crate::support::sql::{code, number, run, text};

/// Whether this is the error with which a `Sandbox` refuses a second connection.
fn is_second_connection_error(error: &sqlx::Error) -> bool {
    let message = error.to_string();
    code(error) == "53400"
        && message.contains("has only one connection")
        && message.contains("take an `ebbtide::Database`")
}

/// Hole 7.
pub(crate) async fn second_connection(world: &World) -> Verdict {
    let mut test = world.next().await;
    let database = test.database().await;
    test.run("insert into parents (name) values ('by the first')")
        .await
        .unwrap();
    let is_refused = match test.pool() {
        // The application acquires a second connection from its pool while it holds the first.
        Some(pool) => {
            let held = pool.begin().await.unwrap();
            let second = pool.acquire().await;
            held.rollback().await.unwrap();
            second.is_err_and(|error| is_second_connection_error(&error))
        }
        None => true,
    };
    let (seen, written) = use_second_connection(&test).await;
    test.end().await.unwrap();

    let mut next = world.next_on(&database).await;
    let names = "select coalesce(string_agg(name, ', '), '') from parents";
    let is_left = text(&mut *next.session().await, names).await == "by the second";
    next.end().await.unwrap();
    match written {
        _ if is_left => Verdict::Silent,
        Ok(()) if seen == 1 && !is_refused => Verdict::Same,
        // read_only_sql_transaction
        Err(error) if is_refused && code(&error) == "25006" => {
            let statement =
                format!("{SECOND_CONNECTION}insert into parents (name) values ('by the second')");
            let is_reported =
                children::report_contains(world, &[&statement], &["25006", "`ebbtide::Database`"])
                    .await;
            if is_reported {
                Verdict::Refused
            } else {
                Verdict::Silent
            }
        }
        Ok(()) | Err(_) => world.kind.difference(),
    }
}

/// Opens a second connection, as code under test would. Returns the number of rows that it sees,
/// and whether it can write.
async fn use_second_connection(test: &ProbeTest) -> (i64, Result<(), sqlx::Error>) {
    let mut second = test.second().await;
    let seen = number(&mut second, "select count(*) from parents").await;
    let written = run(
        &mut second,
        "insert into parents (name) values ('by the second')",
    )
    .await;
    second.close().await.unwrap();
    (seen, written)
}

/// Hole 10.
pub(crate) async fn interleaved_transactions(world: &World) -> Verdict {
    let mut test = world.next().await;
    let verdict = match test.pool() {
        // `begin` borrows the connection exclusively, so a second transaction does not compile.
        None => Verdict::NotApplicable,
        Some(pool) => {
            let mut one = pool.begin().await.unwrap();
            run(&mut one, "insert into parents (name) values ('one')")
                .await
                .unwrap();
            match pool.begin().await {
                Ok(mut two) => {
                    run(&mut two, "insert into parents (name) values ('two')")
                        .await
                        .unwrap();
                    two.commit().await.unwrap();
                    one.rollback().await.unwrap();
                    let left = text(
                        &mut *test.session().await,
                        "select string_agg(name, ', ') from parents",
                    )
                    .await;
                    if left == "two" {
                        Verdict::Same
                    } else {
                        Verdict::Silent
                    }
                }
                Err(error) => {
                    one.rollback().await.unwrap();
                    if is_second_connection_error(&error) {
                        Verdict::Refused
                    } else {
                        Verdict::Silent
                    }
                }
            }
        }
    };
    test.end().await.unwrap();
    verdict
}

/// Hole 12.
pub(crate) async fn row_locks(world: &World) -> Verdict {
    async fn picked(worker: &mut PgConnection) -> i64 {
        number(
            worker,
            "select id from parents order by id for update skip locked limit 1",
        )
        .await
    }
    let mut test = world.next().await;
    test.run("insert into parents (name) values ('a'), ('b')")
        .await
        .unwrap();
    let picks = if let Some(pool) = test
        .pool()
        .filter(|pool| pool.options().get_max_connections() > 2)
    {
        let (mut one, mut two) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
        (picked(&mut one).await, picked(&mut two).await)
    } else {
        let mut session = test.session().await;
        let mut one = session.begin().await.unwrap();
        let first = picked(&mut one).await;
        let mut two = one.begin().await.unwrap();
        (first, picked(&mut two).await)
    };
    test.end().await.unwrap();
    match picks {
        (1, 2) => Verdict::Same,
        // A session does not wait for its own locks.
        (1, 1) => world.kind.difference(),
        other => panic!("the workers picked {other:?}"),
    }
}

/// Hole 13.
pub(crate) async fn blocked_by_others(world: &World) -> Verdict {
    /// Inserts one value into a unique column, and returns whether that succeeds. On a shared
    /// database, the second transaction waits for the first.
    async fn can_add(session: &mut PgConnection) -> bool {
        let insert = "set lock_timeout = '1s'; insert into parents (name) values ('same')";
        match run(session, insert).await {
            Ok(()) => true,
            Err(error) if code(&error) == "55P03" => false,
            Err(error) => panic!("{error}"),
        }
    }
    let mut test = world.next().await;
    let database = test.database().await;
    let mut session = test.session().await;
    let mut transaction = session.begin().await.unwrap();
    run(&mut transaction, "lock table children").await.unwrap();
    assert!(can_add(&mut transaction).await);

    let mut other = world.next().await;
    let is_free = can_add(&mut *other.session().await).await;
    transaction.rollback().await.unwrap();
    drop(session);
    test.run("insert into parents (name) values ('to the end')")
        .await
        .unwrap();
    test.end().await.unwrap();
    other.end().await.unwrap();

    let mut next = world.next_on(&database).await;
    let is_free = is_free && can_add(&mut *next.session().await).await;
    next.end().await.unwrap();
    if is_free {
        Verdict::Closed
    } else {
        Verdict::Silent
    }
}
