//! What a test does in its transaction is undone.

use super::{count, harness, insert_parent};
use crate::support::Scratch;
use crate::support::sql::{code, number, run};
use sqlx::Connection as _;

#[tokio::test]
async fn rows_and_sequences_are_reset_for_the_next_test() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for _ in 0..5 {
        let mut tx = harness.tx().await.unwrap();
        assert_eq!(insert_parent(&mut tx, "a").await, 1);
        assert_eq!(insert_parent(&mut tx, "b").await, 2);
        assert_eq!(number(&mut tx, "select nextval('tickets')").await, 101);
        tx.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_tx_is_rolled_back_also_when_it_is_dropped() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for _ in 0..20 {
        let mut tx = harness.tx().await.unwrap();
        assert_eq!(insert_parent(&mut tx, "a").await, 1);
        assert_eq!(number(&mut tx, "select nextval('tickets')").await, 101);
    }
}

#[tokio::test]
async fn setval_is_undone_also_for_an_unused_sequence() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for _ in 0..3 {
        let mut tx = harness.tx().await.unwrap();
        run(
            &mut tx,
            "select setval('parents_id_seq', 7, false), setval('tickets', 5000)",
        )
        .await
        .unwrap();
        assert_eq!(insert_parent(&mut tx, "a").await, 7);
        tx.close().await.unwrap();
        let mut tx = harness.tx().await.unwrap();
        assert_eq!(insert_parent(&mut tx, "a").await, 1);
        assert_eq!(number(&mut tx, "select nextval('tickets')").await, 101);
        tx.close().await.unwrap();
    }
}

#[tokio::test]
async fn application_transactions_are_savepoints() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = harness.tx().await.unwrap();
    {
        let mut inner = tx.begin().await.unwrap();
        run(&mut inner, "insert into parents (name) values ('kept')")
            .await
            .unwrap();
        {
            let mut innermost = inner.begin().await.unwrap();
            run(
                &mut innermost,
                "insert into parents (name) values ('undone')",
            )
            .await
            .unwrap();
            innermost.rollback().await.unwrap();
        }
        inner.commit().await.unwrap();
    }
    {
        let mut dropped = tx.begin().await.unwrap();
        run(
            &mut dropped,
            "insert into parents (name) values ('dropped')",
        )
        .await
        .unwrap();
    }
    {
        let mut poisoned = tx.begin().await.unwrap();
        run(&mut poisoned, "select 1/0").await.unwrap_err();
        poisoned.rollback().await.unwrap();
    }
    assert_eq!(count(&mut tx, "parents").await, 1);
    tx.close().await.unwrap();
    let mut next = harness.tx().await.unwrap();
    assert_eq!(count(&mut next, "parents").await, 0);
    next.close().await.unwrap();
}

#[tokio::test]
async fn session_state_does_not_reach_the_next_test() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for _ in 0..2 {
        let mut tx = harness.tx().await.unwrap();
        assert_eq!(
            number(
                &mut tx,
                "select count(*) from pg_prepared_statements where not from_sql"
            )
            .await,
            1
        );
        assert_eq!(
            number(
                &mut tx,
                "select count(*) from pg_prepared_statements where from_sql"
            )
            .await,
            0
        );
        assert_eq!(
            number(&mut tx, "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()")
                .await,
            0
        );
        assert_eq!(
            number(&mut tx, "select count(*) from pg_listening_channels()").await,
            0
        );
        assert_eq!(
            number(&mut tx, "select count(*) from pg_cursors where is_holdable").await,
            0
        );
        let search_path: String = sqlx::query_scalar("select current_setting('search_path')")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(search_path, "\"$user\", public");
        assert_eq!(
            code(
                &run(&mut tx, "savepoint a; select currval('tickets')")
                    .await
                    .unwrap_err()
            ),
            "55000"
        );
        run(&mut tx, "rollback to savepoint a").await.unwrap();

        run(&mut tx, "prepare mine as select 1; select pg_advisory_lock(7); listen news; set search_path = nowhere")
            .await
            .unwrap();
        run(
            &mut tx,
            "create temporary table scratch (id int); declare held cursor with hold for select 1",
        )
        .await
        .unwrap();
        run(&mut tx, "select nextval('public.tickets')")
            .await
            .unwrap();
        tx.close().await.unwrap();
    }
}

#[tokio::test]
async fn ddl_is_undone() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for _ in 0..3 {
        let mut tx = harness.tx().await.unwrap();
        let columns =
            "select count(*) from information_schema.columns where table_name = 'parents'";
        assert_eq!(number(&mut tx, columns).await, 2);
        // The driver caches prepared statements. One that was prepared for the changed table must
        // not be used in the next test.
        run(
            &mut tx,
            "alter table parents add extra int; create table more (id serial)",
        )
        .await
        .unwrap();
        sqlx::query("select * from parents")
            .fetch_all(&mut *tx)
            .await
            .unwrap();
        assert_eq!(number(&mut tx, columns).await, 3);
        tx.close().await.unwrap();
        let mut tx = harness.tx().await.unwrap();
        sqlx::query("select * from parents")
            .fetch_all(&mut *tx)
            .await
            .unwrap();
        tx.close().await.unwrap();
    }
}
