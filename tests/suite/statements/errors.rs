//! A failed statement undoes only itself.

use std::task::{Context, Waker};

use super::{add, assert_refused, harness, names, with_savepoints};
use crate::support::Scratch;
use crate::support::sql::run;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

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
