//! What `TxOptions` guarantee. With `savepoints`, a failed statement undoes only itself, and the
//! guard still works. The isolation level is the requested one.

use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::support::Scratch;
use crate::support::sql::run;
use ebbtide::config::IsolationLevel;
use ebbtide::{ErrorKind, Harness, Tx, TxOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

const MIGRATION: &str = "
    create table guests (id bigint generated always as identity primary key, name text not null unique);
    create table visits (
        id serial primary key,
        guest bigint not null constraint visits_guest_fkey references guests deferrable initially deferred
    );
    create sequence tickets start 100;
";

fn harness(scratch: &Scratch) -> Harness {
    scratch.write("migrations/1_guests.sql", MIGRATION);
    // A test examines a kept database immediately, so a short time is enough.
    scratch
        .builder()
        .keep_for(Duration::from_secs(30))
        .build()
        .unwrap()
}

async fn with_savepoints(harness: &Harness) -> Tx {
    harness
        .tx_with(TxOptions::new().savepoints())
        .await
        .unwrap()
}

/// Inserts a guest through the extended protocol, with a statement that the driver prepares once.
async fn add(connection: &mut PgConnection, name: &str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("insert into guests (name) values ($1) returning id")
        .bind(name)
        .fetch_one(connection)
        .await
}

async fn names(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar("select name from guests order by name")
        .fetch_all(connection)
        .await
        .unwrap()
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, sqlx::Error>, code: &str) {
    let error = result.expect_err("the server must refuse the statement");
    assert_eq!(
        error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .as_deref(),
        Some(code),
        "{error}"
    );
}

#[tokio::test]
async fn code_that_gets_the_connection_can_continue_after_an_error() {
    async fn code_under_test(connection: &mut PgConnection) {
        add(connection, "Laura").await.unwrap();
        assert_refused(add(connection, "Laura").await, "23505");
        add(connection, "Marta").await.unwrap();
        assert_refused(
            run(connection, "insert into guests (name) values ('Laura')").await,
            "23505",
        );
        run(connection, "insert into guests (name) values ('Nora')")
            .await
            .unwrap();
        assert_refused(
            sqlx::query("select * from nowhere")
                .fetch_all(&mut *connection)
                .await,
            "42P01",
        );
        assert_refused(
            sqlx::query("select 1 / ($1 - 1)")
                .bind(1)
                .fetch_one(&mut *connection)
                .await,
            "22012",
        );
        assert_refused(run(connection, "this is no SQL").await, "42601");
        add(connection, "Olga").await.unwrap();
    }
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    code_under_test(&mut tx).await;
    assert_eq!(names(&mut tx).await, ["Laura", "Marta", "Nora", "Olga"]);
    tx.close().await.unwrap();
}

#[tokio::test]
async fn an_error_still_aborts_the_applications_own_transaction() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    add(&mut tx, "Laura").await.unwrap();
    let mut inner = tx.begin().await.unwrap();
    add(&mut inner, "undone").await.unwrap();
    assert_refused(add(&mut inner, "Laura").await, "23505");
    assert_refused(add(&mut inner, "Marta").await, "25P02");
    assert_refused(run(&mut inner, "select 1").await, "25P02");
    inner.rollback().await.unwrap();
    assert_refused(add(&mut tx, "Laura").await, "23505");
    assert_eq!(names(&mut tx).await, ["Laura"]);

    // A transaction also ends when it is dropped, and when it is committed.
    let mut dropped = tx.begin().await.unwrap();
    assert_refused(run(&mut dropped, "select 1/0").await, "22012");
    drop(dropped);
    assert_refused(add(&mut tx, "Laura").await, "23505");
    let mut committed = tx.begin().await.unwrap();
    add(&mut committed, "Marta").await.unwrap();
    committed.commit().await.unwrap();
    assert_refused(add(&mut tx, "Laura").await, "23505");
    assert_eq!(names(&mut tx).await, ["Laura", "Marta"]);
    tx.close().await.unwrap();
}

#[tokio::test]
async fn nested_transactions_end_one_after_the_other() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    for round in ["first", "second"] {
        let mut outer = tx.begin().await.unwrap();
        add(&mut outer, &format!("{round}, outer")).await.unwrap();
        let mut inner = outer.begin().await.unwrap();
        add(&mut inner, "undone").await.unwrap();
        assert_refused(run(&mut inner, "select 1/0").await, "22012");
        inner.rollback().await.unwrap();
        let mut inner = outer.begin().await.unwrap();
        add(&mut inner, &format!("{round}, inner")).await.unwrap();
        inner.commit().await.unwrap();
        // The outer transaction is still open, and an error in a nested one still aborts that one.
        let mut poisoned = outer.begin().await.unwrap();
        assert_refused(run(&mut poisoned, "select 1/0").await, "22012");
        assert_refused(run(&mut poisoned, "select 1").await, "25P02");
        drop(poisoned);
        outer.commit().await.unwrap();
        assert_refused(run(&mut tx, "select 1/0").await, "22012");
    }
    assert_eq!(
        names(&mut tx).await,
        [
            "first, inner",
            "first, outer",
            "second, inner",
            "second, outer"
        ]
    );
    tx.close().await.unwrap();
}

#[tokio::test]
async fn savepoints_in_sql_work_like_those_of_the_driver() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    add(&mut tx, "Laura").await.unwrap();
    for _ in 0..2 {
        // In the second round, the driver uses its prepared statements.
        sqlx::query("savepoint \"of mine\"")
            .execute(&mut *tx)
            .await
            .unwrap();
        add(&mut tx, "undone").await.unwrap();
        assert_refused(run(&mut tx, "select 1/0").await, "22012");
        assert_refused(run(&mut tx, "select 1").await, "25P02");
        sqlx::query("rollback to \"of mine\"")
            .execute(&mut *tx)
            .await
            .unwrap();
        add(&mut tx, "undone").await.unwrap();
        sqlx::query("rollback to \"of mine\"")
            .execute(&mut *tx)
            .await
            .unwrap();
        sqlx::query("release \"of mine\"")
            .execute(&mut *tx)
            .await
            .unwrap();
        assert_refused(run(&mut tx, "select 1/0").await, "22012");
    }
    assert_refused(run(&mut tx, "savepoint a; select 1/0").await, "22012");
    assert_refused(run(&mut tx, "select 1").await, "25P02");
    run(&mut tx, "rollback to a; release a").await.unwrap();
    assert_refused(run(&mut tx, "release nothing").await, "3B001");
    run(
        &mut tx,
        "insert into guests (name) values ('Marta'); savepoint b",
    )
    .await
    .unwrap();
    run(&mut tx, "release b").await.unwrap();
    assert_eq!(names(&mut tx).await, ["Laura", "Marta"]);
    tx.close().await.unwrap();
}

#[tokio::test]
async fn several_statements_in_one_query_are_undone_together() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    let sql = "insert into guests (name) values ('Laura'); insert into guests (name) values ('Laura'); select 1";
    assert_refused(run(&mut tx, sql).await, "23505");
    assert_eq!(names(&mut tx).await, [""; 0]);
    run(
        &mut tx,
        "insert into guests (name) values ('Laura'); insert into guests (name) values ('a;b')",
    )
    .await
    .unwrap();
    assert_eq!(names(&mut tx).await, ["Laura", "a;b"]);
    run(&mut tx, " -- nothing\n;").await.unwrap();
    tx.close().await.unwrap();
}

#[tokio::test]
async fn prepared_statements_remain_usable_after_an_error() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    let insert = "insert into guests (name) values ($1)";
    for name in ["Laura", "Marta", "Nora"] {
        // Once with a named prepared statement, and once with the unnamed one.
        sqlx::query(insert)
            .bind(name)
            .execute(&mut *tx)
            .await
            .unwrap();
        assert_refused(
            sqlx::query(insert).bind(name).execute(&mut *tx).await,
            "23505",
        );
        assert_refused(
            sqlx::query(insert)
                .persistent(false)
                .bind(name)
                .execute(&mut *tx)
                .await,
            "23505",
        );
        let other = format!("{name} too");
        let unnamed = "insert into guests (name) select $1";
        sqlx::query(unnamed)
            .persistent(false)
            .bind(other)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    let prepared = "select count(*) from pg_prepared_statements where statement like 'insert%'";
    assert_eq!(
        sqlx::query_scalar::<_, i64>(prepared)
            .fetch_one(&mut *tx)
            .await
            .unwrap(),
        1
    );
    // More than the driver caches, so it closes the oldest ones.
    for number in 0..150 {
        let sql = format!("select {number}");
        let one: i32 = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(one, number);
    }
    sqlx::query("deallocate all")
        .execute(&mut *tx)
        .await
        .unwrap();
    assert_refused(
        sqlx::query(insert).bind("Laura").execute(&mut *tx).await,
        "23505",
    );
    assert_eq!(names(&mut tx).await.len(), 6);
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_refused_copy_is_undone_too() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    let into = "copy guests (name) from stdin";
    let mut copy = tx.copy_in_raw(into).await.unwrap();
    copy.send(b"Laura\n".as_slice())
        .await
        .unwrap()
        .send(b"Marta\n".as_slice())
        .await
        .unwrap();
    assert_eq!(copy.finish().await.unwrap(), 2);

    // The server refuses the first row while the driver still sends the others.
    let mut copy = tx.copy_in_raw(into).await.unwrap();
    copy.send(b"Nora\tand more\n".repeat(20_000)).await.unwrap();
    assert_refused(copy.finish().await, "22P04");
    assert_eq!(names(&mut tx).await, ["Laura", "Marta"]);

    let mut copy = tx.copy_in_raw(into).await.unwrap();
    copy.send(b"Nora\n".as_slice()).await.unwrap();
    copy.abort("not today").await.unwrap();
    assert_refused(
        tx.copy_in_raw("copy nowhere from stdin").await.map(drop),
        "42P01",
    );

    let mut inner = tx.begin().await.unwrap();
    let mut copy = inner.copy_in_raw(into).await.unwrap();
    copy.send(b"Laura\n".as_slice()).await.unwrap();
    assert_refused(copy.finish().await, "23505");
    assert_refused(run(&mut inner, "select 1").await, "25P02");
    inner.rollback().await.unwrap();

    add(&mut tx, "Olga").await.unwrap();
    assert_eq!(names(&mut tx).await, ["Laura", "Marta", "Olga"]);
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_cancelled_statement_is_finished_or_undone() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    let start_and_drop =
        |work: std::pin::Pin<Box<dyn Future<Output = Result<(), sqlx::Error>> + '_>>| {
            let mut work = work;
            assert!(
                work.as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
            );
        };
    start_and_drop(Box::pin(run(
        &mut tx,
        "insert into guests (name) select 'Laura' from pg_sleep(0.1)",
    )));
    assert_eq!(names(&mut tx).await, ["Laura"]);

    start_and_drop(Box::pin(run(
        &mut tx,
        "select pg_sleep(0.1); insert into guests (name) values ('Laura')",
    )));
    // The driver has not read the error yet, and returns it from the next call.
    assert_refused(add(&mut tx, "Marta").await, "23505");
    add(&mut tx, "Nora").await.unwrap();

    // Drops the future at different points, also between the statement's preparation and its
    // execution.
    let before = names(&mut tx).await;
    for polls in 1..8 {
        let mut adding = Box::pin(add(&mut tx, "Olga"));
        for _ in 0..polls {
            if adding
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready()
            {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(adding);
        sqlx::query("delete from guests where name = 'Olga'")
            .execute(&mut *tx)
            .await
            .unwrap();
        assert_eq!(names(&mut tx).await, before);
    }
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_statement_that_is_still_running_is_cancelled_at_the_end() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    add(&mut tx, "Laura").await.unwrap();
    {
        let mut sleeping = Box::pin(run(&mut tx, "select pg_sleep(3600)"));
        assert!(
            sleeping
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
    }
    tx.close().await.unwrap();
    let mut next = harness.tx().await.unwrap();
    assert_eq!(names(&mut next).await, [""; 0]);
    next.close().await.unwrap();
}

#[tokio::test]
async fn a_violated_deferred_constraint_fails_the_test_and_is_named() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    run(&mut tx, "insert into visits (guest) values (42)")
        .await
        .unwrap();
    assert_refused(run(&mut tx, "select 1/0").await, "22012");
    let error = tx.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConstraintViolated);
    assert!(error.to_string().contains("visits_guest_fkey"), "{error}");
}

#[tokio::test]
async fn a_stray_commit_changes_nothing_and_fails_the_test() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for stray in [
        "commit",
        "commit and chain",
        "end",
        "insert into guests (name) values ('b'); commit",
    ] {
        let mut tx = with_savepoints(&harness).await;
        add(&mut tx, "a").await.unwrap();
        assert_refused(run(&mut tx, stray).await, "25000");
        // Outside the transaction, the connection is read-only.
        assert_refused(add(&mut tx, "c").await, "25006");
        assert_eq!(
            tx.close().await.unwrap_err().kind(),
            ErrorKind::TransactionEscaped,
            "{stray}"
        );
    }
    // As a prepared statement.
    let mut tx = with_savepoints(&harness).await;
    assert_refused(sqlx::query("commit").execute(&mut *tx).await, "25000");
    assert_eq!(
        tx.close().await.unwrap_err().kind(),
        ErrorKind::TransactionEscaped
    );

    let mut next = harness.tx().await.unwrap();
    assert_eq!(names(&mut next).await, [""; 0]);
    next.close().await.unwrap();
}

#[tokio::test]
async fn a_test_that_leaves_its_transaction_fails() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let ways_out = [
        "rollback",
        "rollback and chain",
        "rollback; begin read write",
        "rollback; begin read write; insert into guests (name) values ('escaped'); commit",
    ];
    for way_out in ways_out {
        let mut tx = with_savepoints(&harness).await;
        run(&mut tx, way_out).await.unwrap();
        assert_refused(run(&mut tx, "select 1/0").await, "22012");
        assert_eq!(
            tx.close().await.unwrap_err().kind(),
            ErrorKind::TransactionEscaped,
            "{way_out}"
        );
        let mut next = harness.tx().await.unwrap();
        assert_eq!(names(&mut next).await, [""; 0], "{way_out}");
        next.close().await.unwrap();
    }
}

#[tokio::test]
async fn nothing_of_a_test_reaches_the_next_one() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for _ in 0..3 {
        let mut tx = with_savepoints(&harness).await;
        assert_eq!(add(&mut tx, "Laura").await.unwrap(), 1);
        assert_refused(add(&mut tx, "Laura").await, "23505");
        // A failed insert consumes a number of the sequence, as it always does.
        assert_eq!(add(&mut tx, "Marta").await.unwrap(), 3);
        run(
            &mut tx,
            "select nextval('tickets'); select pg_advisory_lock(1); set search_path = nowhere",
        )
        .await
        .unwrap();
        tx.close().await.unwrap();
        // A transaction that is dropped, and one without savepoints.
        let mut tx = with_savepoints(&harness).await;
        assert_eq!(add(&mut tx, "Laura").await.unwrap(), 1);
        drop(tx);
        let mut plain = harness.tx().await.unwrap();
        assert_eq!(add(&mut plain, "Laura").await.unwrap(), 1);
        let ticket: i64 = sqlx::query_scalar("select nextval('tickets')")
            .fetch_one(&mut *plain)
            .await
            .unwrap();
        assert_eq!(ticket, 100);
        assert_refused(add(&mut plain, "Laura").await, "23505");
        assert_refused(add(&mut plain, "Marta").await, "25P02");
        plain.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_kept_database_has_the_rows_from_before_a_failed_statement() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    add(&mut tx, "Laura").await.unwrap();
    assert_refused(add(&mut tx, "Laura").await, "23505");
    let kept = tx.keep().await.unwrap();
    let mut connection = PgConnection::connect(&kept.url).await.unwrap();
    assert_eq!(names(&mut connection).await, ["Laura"]);
    connection.close().await.unwrap();
}

#[tokio::test]
async fn large_messages_pass_in_both_directions() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    let large = "x".repeat(5_000_000);
    let returned: String = sqlx::query_scalar("select $1")
        .bind(&large)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert!(returned == large);
    let sql = format!("select length('{large}')::bigint, g from generate_series(1, 100000) g");
    let rows: Vec<(i64, i32)> = sqlx::query_as(AssertSqlSafe(sql))
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    assert_eq!((rows.len(), rows[99_999]), (100_000, (5_000_000, 100_000)));
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_terminated_session_fails_the_test() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let mut other = PgConnection::connect(&tx.url()).await.unwrap();
    sqlx::query("select pg_terminate_backend($1)")
        .bind(pid)
        .execute(&mut other)
        .await
        .unwrap();
    assert!(add(&mut tx, "Laura").await.is_err());
    assert_eq!(tx.close().await.unwrap_err().kind(), ErrorKind::ServerLost);
    other.close().await.unwrap();
    let mut next = harness.tx().await.unwrap();
    assert_eq!(names(&mut next).await, [""; 0]);
    next.close().await.unwrap();
}

#[tokio::test]
async fn the_session_ends_with_the_test() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = with_savepoints(&harness).await;
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    // Outside a transaction, in which pg_stat_activity would return the same snapshot each time. On
    // another database, because the sessions of this one are terminated with the test.
    let options: sqlx::postgres::PgConnectOptions = tx.url().parse().unwrap();
    let mut witness = PgConnection::connect_with(&options.database("postgres"))
        .await
        .unwrap();
    let query = "select exists (select from pg_stat_activity where pid = $1)";
    let mut is_running = async || {
        sqlx::query_scalar::<_, bool>(query)
            .bind(pid)
            .fetch_one(&mut witness)
            .await
            .unwrap()
    };
    assert!(is_running().await);
    tx.close().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while is_running().await {
        assert!(
            Instant::now() < deadline,
            "the relayed session still exists"
        );
        tokio::task::yield_now().await;
    }
    witness.close().await.unwrap();
}

#[tokio::test]
async fn the_transaction_has_the_requested_isolation_level() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let levels = [
        (IsolationLevel::ReadCommitted, "read committed"),
        (IsolationLevel::RepeatableRead, "repeatable read"),
        (IsolationLevel::Serializable, "serializable"),
    ];
    for (level, name) in levels {
        for options in [TxOptions::new(), TxOptions::new().savepoints()] {
            let mut tx = harness
                .tx_with(options.isolation_level(level))
                .await
                .unwrap();
            let isolation_level: String = sqlx::query_scalar("show transaction_isolation")
                .fetch_one(&mut *tx)
                .await
                .unwrap();
            assert_eq!(isolation_level, name);
            add(&mut tx, "Laura").await.unwrap();
            tx.close().await.unwrap();
        }
    }
    let mut tx = harness.tx().await.unwrap();
    let isolation_level: String = sqlx::query_scalar("show transaction_isolation")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(isolation_level, "read committed");
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_write_conflict_fails_from_repeatable_read_upwards() {
    let scratch = Scratch::new();
    // A template of its own, because another connection commits in a lane.
    scratch.write(
        "migrations/1_counters.sql",
        "create table conflicts as select 1 as id, 0 as value",
    );
    let harness = scratch.builder().build().unwrap();
    let read = async |tx: &mut Tx| -> i32 {
        sqlx::query_scalar("select value from conflicts")
            .fetch_one(&mut **tx)
            .await
            .unwrap()
    };
    let add_one = "update conflicts set value = value + 1";
    for level in [
        IsolationLevel::ReadCommitted,
        IsolationLevel::RepeatableRead,
        IsolationLevel::Serializable,
    ] {
        let mut tx = harness
            .tx_with(TxOptions::new().isolation_level(level).savepoints())
            .await
            .unwrap();
        let before = read(&mut tx).await;
        let mut other = PgConnection::connect(&tx.url()).await.unwrap();
        // Sessions of the URL are read-only by default, so the transaction states `read write`.
        run(
            &mut other,
            "begin read write; update conflicts set value = value + 1; commit",
        )
        .await
        .unwrap();
        other.close().await.unwrap();
        let update = run(&mut tx, add_one).await;
        if level == IsolationLevel::ReadCommitted {
            update.unwrap();
            assert_eq!(read(&mut tx).await, before + 2);
        } else {
            assert_refused(update, "40001");
            assert_eq!(read(&mut tx).await, before);
        }
        tx.close().await.unwrap();
    }
}
