//! Checkpoints within a `Tx`: what a rewind restores, and which checkpoints are refused.

use crate::roles;
use crate::support::Scratch;
use crate::support::sql::{code, number, run, text};
use ebbtide::{ErrorKind, Harness, Tx, TxOptions};
use sqlx::{Connection as _, PgConnection};

const MIGRATION: &str = "
    create table notes (id serial primary key, body text not null unique);
    create table parents (id int primary key);
    create table children (
        parent int constraint children_parent references parents deferrable initially deferred
    );
    create sequence tickets start 100;
    create sequence batches cache 10;
";

/// A transaction with a savepoint for each statement has a relay of its own.
const BOTH: [fn() -> TxOptions; 2] = [TxOptions::new, || TxOptions::new().savepoints()];

fn harness(scratch: &Scratch) -> Harness {
    scratch.write("migrations/1_notes.sql", MIGRATION);
    scratch.builder().build().unwrap()
}

async fn done(connection: &mut PgConnection, sql: &str) {
    if let Err(error) = run(connection, sql).await {
        panic!("{sql}: {error}");
    }
}

/// The kind, the message and the help of an error about a checkpoint.
fn refusal<T: std::fmt::Debug>(result: ebbtide::Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error:?}");
    assert!(error.help().is_some(), "{error:?}");
    error.to_string()
}

/// What a test can observe, without a change to it.
const STATE: &str = "select concat_ws(' | ',
    (select string_agg(id || body, ',' order by id) from notes),
    (select last_value::text || is_called from notes_id_seq),
    (select last_value::text || is_called from tickets),
    (select last_value::text || is_called from mine),
    (select last_value::text || is_called from passing),
    (select string_agg(attname, ',' order by attnum) from pg_attribute
        where attrelid = 'parents'::regclass and attnum > 0 and not attisdropped),
    current_setting('work_mem'), current_setting('lock_timeout'),
    (select string_agg(name, ',' order by name) from pg_prepared_statements where from_sql),
    (select string_agg(mode || classid || ':' || objid || ':' || objsubid, ',' order by mode, objid)
        from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
    (select count(*) from pg_class where relname like 'later%'))";

/// Changes all of [`STATE`], in ways that a rollback undoes and in ways that it does not.
const CHANGES: &str = "
    insert into notes (body) values ('d'), ('e');
    select setval('tickets', 7, false), nextval('mine'), nextval('passing'), nextval('batches');
    alter table parents add column more int;
    create table later (id serial);
    create temp table laters ();
    set work_mem = '7MB'; set local lock_timeout = '7s';
    prepare further as select 3;
    select pg_advisory_lock(2), pg_advisory_lock(2), pg_advisory_lock_shared(-3, 4),
        pg_advisory_unlock(1), pg_advisory_xact_lock(5);
    savepoint inner_one; insert into children values (4711)";

#[tokio::test]
async fn a_rewind_restores_what_a_rollback_does_not() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for options in BOTH {
        let mut tx = harness.tx_with(options()).await.unwrap();
        done(
            &mut tx,
            "insert into notes (body) values ('a');
             create sequence mine; create temp sequence passing;
             set work_mem = '5MB'; set local lock_timeout = '5s'; prepare unused as select 1;
             select pg_advisory_lock(1), pg_advisory_lock_shared(-9223372036854775808),
                pg_advisory_xact_lock(-3, 4), nextval('passing')",
        )
        .await;
        assert_eq!(number(&mut tx, "select nextval('batches')").await, 1);
        let checkpoint = tx.checkpoint().await.unwrap();
        let before = text(&mut tx, STATE).await;
        for failing in [false, true, true] {
            done(&mut tx, CHANGES).await;
            assert_ne!(text(&mut tx, STATE).await, before);
            if failing {
                run(&mut tx, "select 1 / 0").await.unwrap_err();
            }
            tx.rewind_to(&checkpoint).await.unwrap();
            assert_eq!(text(&mut tx, STATE).await, before);
            // The first one also finds the session's own numbers of a sequence with CACHE.
            assert_eq!(number(&mut tx, "select nextval('batches')").await, 2);
            assert_eq!(number(&mut tx, "select nextval('tickets')").await, 100);
            tx.rewind_to(&checkpoint).await.unwrap();
        }
        // The row that violates the constraint is gone, too.
        tx.close().await.unwrap();
        let mut next = harness.tx().await.unwrap();
        done(&mut next, "insert into notes (body) values ('a')").await;
        assert_eq!(number(&mut next, "select id::int8 from notes").await, 1);
        next.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_statement_is_prepared_again_after_a_rewind() {
    let scratch = Scratch::new();
    let mut tx = harness(&scratch).tx().await.unwrap();
    done(&mut tx, "prepare known as select 1").await;
    let checkpoint = tx.checkpoint().await.unwrap();
    for (column, value) in [("int default 1", 1_i64), ("text default '2'", 2)] {
        done(
            &mut tx,
            &format!("alter table parents add column c {column}"),
        )
        .await;
        done(&mut tx, "insert into parents (id) values (1)").await;
        // The driver keeps this statement, whose result has another type in the second round.
        sqlx::query("select c from parents")
            .execute(&mut *tx)
            .await
            .unwrap();
        assert_eq!(number(&mut tx, "select c::int8 from parents").await, value);
        tx.rewind_to(&checkpoint).await.unwrap();
    }
    done(&mut tx, "deallocate known; prepare known as select 2").await;
    tx.rewind_to(&checkpoint).await.unwrap();
    // Another text of that name is not the statement of the checkpoint.
    let missing = run(&mut tx, "execute known").await.unwrap_err();
    assert_eq!(code(&missing), "26000");
    tx.close().await.unwrap();
}

#[tokio::test]
async fn constraints_are_checked_for_what_a_rewind_leaves() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = harness.tx().await.unwrap();
    done(&mut tx, "insert into children values (1)").await;
    let checkpoint = tx.checkpoint().await.unwrap();
    done(
        &mut tx,
        "insert into parents values (1); set constraints all immediate",
    )
    .await;
    tx.rewind_to(&checkpoint).await.unwrap();
    // The constraint is deferred again, and still violated by the row from before.
    done(&mut tx, "insert into children values (2)").await;
    let violated = tx.close().await.unwrap_err();
    assert_eq!(violated.kind(), ErrorKind::ConstraintViolated);
    // A COMMIT is refused within a checkpoint, too.
    let mut tx = harness.tx().await.unwrap();
    let checkpoint = tx.checkpoint().await.unwrap();
    done(&mut tx, "set constraints all immediate").await;
    tx.rewind_to(&checkpoint).await.unwrap();
    assert_eq!(code(&run(&mut tx, "commit").await.unwrap_err()), "25000");
    let escaped = tx.rewind_to(&checkpoint).await.unwrap_err();
    assert_eq!(escaped.kind(), ErrorKind::TransactionEscaped);
    let escaped = tx.checkpoint().await.unwrap_err();
    assert_eq!(escaped.kind(), ErrorKind::TransactionEscaped);
}

async fn bodies(tx: &mut Tx) -> String {
    text(
        tx,
        "select coalesce(string_agg(body, '' order by id), '') from notes",
    )
    .await
}

async fn add(tx: &mut Tx, body: &str) {
    done(tx, &format!("insert into notes (body) values ('{body}')")).await;
}

#[tokio::test]
async fn an_ended_checkpoint_is_refused_and_changes_nothing() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for options in BOTH {
        let mut tx = harness.tx_with(options()).await.unwrap();
        let first = tx.checkpoint().await.unwrap();
        add(&mut tx, "a").await;
        let second = tx.checkpoint().await.unwrap();
        add(&mut tx, "b").await;
        let third = tx.checkpoint().await.unwrap();
        add(&mut tx, "c").await;
        tx.rewind_to(&second).await.unwrap();
        assert_eq!(bodies(&mut tx).await, "a");
        let message = refusal(tx.rewind_to(&third).await);
        assert!(message.contains("an earlier checkpoint"), "{message}");

        // Transactions of the code under test, and a savepoint that ends with the checkpoint in it.
        let mut inner = tx.begin().await.unwrap();
        done(&mut inner, "insert into notes (body) values ('d')").await;
        inner.commit().await.unwrap();
        for end in ["release a", "rollback to a"] {
            done(&mut tx, "savepoint a").await;
            let ended = tx.checkpoint().await.unwrap();
            add(&mut tx, "e").await;
            tx.rewind_to(&ended).await.unwrap();
            add(&mut tx, "f").await;
            done(&mut tx, end).await;
            let message = refusal(tx.rewind_to(&ended).await);
            assert!(message.contains("has ended"), "{message}");
            // Nothing is undone, and the transaction has not failed.
            let left = if end.starts_with("release") {
                "adf"
            } else {
                "ad"
            };
            assert_eq!(bodies(&mut tx).await, left);
            // In a failed transaction, too.
            run(&mut tx, "savepoint b; select 1 / 0").await.unwrap_err();
            refusal(tx.rewind_to(&ended).await);
            tx.rewind_to(&second).await.unwrap();
            add(&mut tx, "d").await;
        }
        tx.rewind_to(&first).await.unwrap();
        assert_eq!(bodies(&mut tx).await, "");
        let mut other = harness.tx_with(options()).await.unwrap();
        other.checkpoint().await.unwrap();
        let message = refusal(other.rewind_to(&first).await);
        assert!(message.contains("another transaction"), "{message}");
        other.close().await.unwrap();
        tx.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_statement_fails_alone_within_a_checkpoint() {
    let scratch = Scratch::new();
    let options = TxOptions::new().savepoints();
    let mut tx = harness(&scratch).tx_with(options).await.unwrap();
    let outer = tx.checkpoint().await.unwrap();
    for _ in 0..2 {
        add(&mut tx, "a").await;
        run(&mut tx, "select 1 / 0").await.unwrap_err();
        sqlx::query("select 1 / 0")
            .execute(&mut *tx)
            .await
            .unwrap_err();
        // A transaction of the application that is open, and has failed, when the test rewinds.
        done(&mut tx, "savepoint mine").await;
        let inner = tx.checkpoint().await.unwrap();
        run(&mut tx, "select 1 / 0").await.unwrap_err();
        assert_eq!(code(&run(&mut tx, "select 1").await.unwrap_err()), "25P02");
        tx.rewind_to(&inner).await.unwrap();
        add(&mut tx, "b").await;
        // The transaction is open again, so a failure fails all of it.
        run(&mut tx, "select 1 / 0").await.unwrap_err();
        assert_eq!(code(&run(&mut tx, "select 1").await.unwrap_err()), "25P02");
        tx.rewind_to(&outer).await.unwrap();
        run(&mut tx, "select 1 / 0").await.unwrap_err();
        assert_eq!(bodies(&mut tx).await, "");
    }
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_complete_is_refused() {
    let scratch = Scratch::new();
    let mut tx = harness(&scratch).tx().await.unwrap();
    done(
        &mut tx,
        "declare mine cursor for select 1; select pg_advisory_lock(1)",
    )
    .await;
    assert_report!(scratch, tx.checkpoint().await.unwrap_err(), Checkpoint, @r"
    a checkpoint cannot be set while a cursor is open, because PostgreSQL does not restore its position
      caused by: an open cursor: mine
      help: set the checkpoint before DECLARE or after CLOSE
    ");
    done(&mut tx, "close mine").await;
    let checkpoint = tx.checkpoint().await.unwrap();
    // A cursor that is opened later ends with the rewind.
    done(&mut tx, "declare later cursor with hold for select 1").await;
    run(&mut tx, "select 1 / 0").await.unwrap_err();
    let message = refusal(tx.checkpoint().await);
    assert!(message.contains("after a failed statement"), "{message}");
    tx.rewind_to(&checkpoint).await.unwrap();
    tx.checkpoint().await.unwrap();

    add(&mut tx, "a").await;
    done(&mut tx, "select pg_advisory_unlock(1)").await;
    let mut other = PgConnection::connect(&tx.url()).await.unwrap();
    done(&mut other, "select pg_advisory_lock(1)").await;
    let refused = tx.rewind_to(&checkpoint).await.unwrap_err();
    assert_report!(scratch, refused, Checkpoint, @r"
    a rewind cannot take an advisory lock again that the transaction held at the checkpoint
      caused by: another session holds the lock of pg_advisory_lock('1')
      help: everything else is rewound; let the other session release the lock, and rewind again
    ");
    // All the rest is rewound, and the transaction has not failed.
    assert_eq!(bodies(&mut tx).await, "");
    done(&mut other, "select pg_advisory_unlock(1)").await;
    tx.rewind_to(&checkpoint).await.unwrap();
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_sandbox_is_rewound_between_the_transactions_of_the_application() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let sandbox = harness.sandbox().await.unwrap();
    let pool = &*sandbox;
    let add = "insert into notes (body) values ('a')";
    sqlx::query(add).execute(pool).await.unwrap();
    let checkpoint = sandbox.checkpoint().await.unwrap();
    for _ in 0..2 {
        let mut transaction = pool.begin().await.unwrap();
        let added = "insert into notes (body) values ('b') returning id::int8";
        assert_eq!(number(&mut transaction, added).await, 2);
        transaction.commit().await.unwrap();
        // Fails alone, and leaves the checkpoint.
        sqlx::query(add).execute(pool).await.unwrap_err();
        let later = sandbox.checkpoint().await.unwrap();
        sandbox.rewind_to(&checkpoint).await.unwrap();
        refusal(sandbox.rewind_to(&later).await);
        let mut connection = pool.acquire().await.unwrap();
        let count = number(&mut connection, "select count(*) from notes").await;
        assert_eq!(count, 1);
        done(&mut connection, "select pg_advisory_lock(1)").await;
    }
    // A refused checkpoint and a refused rewind leave the application's savepoint in place.
    let locked = sandbox.checkpoint().await.unwrap();
    sqlx::raw_sql("select pg_advisory_unlock_all(); declare mine cursor with hold for select 1")
        .execute(pool)
        .await
        .unwrap();
    refusal(sandbox.checkpoint().await);
    let mut other = PgConnection::connect(&sandbox.url()).await.unwrap();
    done(&mut other, "select pg_advisory_lock(1)").await;
    refusal(sandbox.rewind_to(&locked).await);
    sqlx::query(add).execute(pool).await.unwrap_err();
    done(&mut other, "select pg_advisory_unlock(1)").await;
    sandbox.rewind_to(&locked).await.unwrap();
    sqlx::query("select 1").execute(pool).await.unwrap();
    sqlx::raw_sql("rollback").execute(pool).await.unwrap();
    let escaped = sandbox.checkpoint().await.unwrap_err();
    assert_eq!(escaped.kind(), ErrorKind::TransactionEscaped);
    sandbox.close().await.unwrap_err();
    let closed = harness.sandbox().await.unwrap();
    let pool = closed.clone();
    pool.close().await;
    refusal(closed.checkpoint().await);
    closed.close().await.unwrap();
}

#[tokio::test]
async fn a_role_without_rights_on_sequences_rewinds_them() {
    let scratch = Scratch::new();
    let harness = roles::harness(&scratch);
    let mut tx = harness.tx().await.unwrap();
    let checkpoint = tx.checkpoint().await.unwrap();
    for _ in 0..2 {
        done(&mut tx, "insert into notes (body) values ('a')").await;
        assert_eq!(number(&mut tx, "select id from notes").await, 1);
        run(&mut tx, "select setval('notes_id_seq', 1)")
            .await
            .unwrap_err();
        tx.rewind_to(&checkpoint).await.unwrap();
    }
    // The function that reads a sequence with the rights of its owner reads nothing else.
    let read = "select _ebbtide.sequence_state('_ebbtide.lane'::regclass)::text";
    assert_eq!(text(&mut tx, read).await, "(,)");
    tx.close().await.unwrap();
}
