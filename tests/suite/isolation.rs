//! What a `Tx` guarantees: no effect of a test reaches the next one, and no violation goes
//! unreported.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use crate::support::child_process::{child_role, test_command_as};
use crate::support::sql::{code, number, run};
use crate::support::{Scratch, this_test};
use ebbtide::config::Backend;
use ebbtide::{ErrorKind, Harness, Tx};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

const MIGRATION: &str = "
    create table parents (id bigint generated always as identity primary key, name text not null unique);
    create table children (
        id serial primary key,
        parent bigint not null constraint children_parent_fkey references parents deferrable initially deferred
    );
    create sequence tickets start 100;
    select nextval('tickets');
";

/// A harness of the test's own. All of them use the same server and the same template.
fn harness(scratch: &Scratch) -> Harness {
    scratch.write("migrations/1_family.sql", MIGRATION);
    scratch.builder().build().unwrap()
}

async fn count(connection: &mut PgConnection, table: &'static str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}")))
        .fetch_one(connection)
        .await
        .unwrap()
}

/// The name and OID of a transaction's database, which differ if the next test gets another one.
async fn database(tx: &mut Tx) -> String {
    sqlx::query_scalar("select current_database() || (select oid from pg_database where datname = current_database())")
        .fetch_one(&mut **tx)
        .await
        .unwrap()
}

#[tokio::test]
async fn rows_and_sequences_are_reset_for_the_next_test() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for _ in 0..5 {
        let mut tx = harness.tx().await.unwrap();
        assert_eq!(
            number(
                &mut tx,
                "insert into parents (name) values ('a') returning id"
            )
            .await,
            1
        );
        assert_eq!(
            number(
                &mut tx,
                "insert into parents (name) values ('b') returning id"
            )
            .await,
            2
        );
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
        assert_eq!(
            number(
                &mut tx,
                "insert into parents (name) values ('a') returning id"
            )
            .await,
            1
        );
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
        assert_eq!(
            number(
                &mut tx,
                "insert into parents (name) values ('a') returning id"
            )
            .await,
            7
        );
        tx.close().await.unwrap();
        let mut tx = harness.tx().await.unwrap();
        assert_eq!(
            number(
                &mut tx,
                "insert into parents (name) values ('a') returning id"
            )
            .await,
            1
        );
        assert_eq!(number(&mut tx, "select nextval('tickets')").await, 101);
        tx.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_stray_commit_changes_nothing_and_fails_the_test() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for stray in [
        "commit",
        "commit and chain",
        "end",
        "insert into parents (name) values ('b'); commit",
    ] {
        let mut tx = harness.tx().await.unwrap();
        run(&mut tx, "insert into parents (name) values ('a')")
            .await
            .unwrap();
        let refused = run(&mut tx, stray).await.unwrap_err();
        assert_eq!(code(&refused), "25000", "{stray}");
        assert!(refused.to_string().contains("COMMIT refused"), "{refused}");
        // Outside the transaction, the connection is read-only.
        let refused = run(&mut tx, "insert into parents (name) values ('c')")
            .await
            .unwrap_err();
        assert_eq!(code(&refused), "25006", "{stray}");
        let error = tx.close().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TransactionEscaped, "{stray}");
        assert!(error.help().unwrap().contains("COMMIT"), "{error:?}");

        let mut tx = harness.tx().await.unwrap();
        assert_eq!(count(&mut tx, "parents").await, 0, "{stray}");
        tx.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_test_that_leaves_its_transaction_fails_and_its_database_is_not_used_again() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let ways_out = [
        "rollback; begin read write; insert into parents (name) values ('escaped'); commit",
        "rollback and chain; insert into parents (name) values ('escaped'); commit",
        "rollback",
        "rollback and chain",
        "rollback; begin read write",
    ];
    for way_out in ways_out {
        let mut tx = harness.tx().await.unwrap();
        let before = database(&mut tx).await;
        run(&mut tx, way_out).await.unwrap();
        let error = tx.close().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TransactionEscaped, "{way_out}");

        let mut tx = harness.tx().await.unwrap();
        assert_eq!(count(&mut tx, "parents").await, 0, "{way_out}");
        assert_ne!(database(&mut tx).await, before, "{way_out}");
        tx.close().await.unwrap();
    }
}

#[tokio::test]
async fn leaving_the_transaction_is_reported_also_after_another_error() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = harness.tx().await.unwrap();
    run(&mut tx, "rollback and chain").await.unwrap();
    run(&mut tx, "select 1/0").await.unwrap_err();
    assert_eq!(
        tx.close().await.unwrap_err().kind(),
        ErrorKind::TransactionEscaped
    );
}

#[tokio::test]
async fn a_violated_deferred_constraint_fails_the_test_and_is_named() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = harness.tx().await.unwrap();
    let before = database(&mut tx).await;
    run(&mut tx, "insert into children (parent) values (42)")
        .await
        .unwrap();
    let error = tx.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConstraintViolated);
    assert!(
        error.to_string().contains("children_parent_fkey"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("a_violated_deferred_constraint_fails_the_test_and_is_named"),
        "{error}"
    );

    // Nothing was committed, so the lane is used again.
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(count(&mut tx, "children").await, 0);
    assert_eq!(database(&mut tx).await, before);
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_failed_statement_leaves_a_usable_lane() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = harness.tx().await.unwrap();
    let before = database(&mut tx).await;
    run(&mut tx, "insert into parents (name) values ('a')")
        .await
        .unwrap();
    let error = run(&mut tx, "insert into parents (name) values ('a')")
        .await
        .unwrap_err();
    assert_eq!(code(&error), "23505");
    assert_eq!(code(&run(&mut tx, "select 1").await.unwrap_err()), "25P02");
    tx.close().await.unwrap();

    let mut tx = harness.tx().await.unwrap();
    assert_eq!(count(&mut tx, "parents").await, 0);
    assert_eq!(database(&mut tx).await, before);
    tx.close().await.unwrap();
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

#[tokio::test]
async fn tests_at_the_same_time_neither_see_nor_block_each_other() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut transactions = Vec::new();
    for _ in 0..4 {
        let mut tx = harness.tx().await.unwrap();
        // The same unique value in each: on one database, the second insert would wait for the
        // first.
        assert_eq!(
            number(
                &mut tx,
                "insert into parents (name) values ('same') returning id"
            )
            .await,
            1
        );
        run(&mut tx, "select pg_advisory_lock(1)").await.unwrap();
        transactions.push(tx);
    }
    for mut tx in transactions {
        assert_eq!(count(&mut tx, "parents").await, 1);
        tx.close().await.unwrap();
    }
}

#[test]
fn a_test_that_panics_leaves_a_usable_lane() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for _ in 0..3 {
        let harness = harness.clone();
        let panicked = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut tx = harness.tx().await.unwrap();
                assert_eq!(
                    number(
                        &mut tx,
                        "insert into parents (name) values ('a') returning id"
                    )
                    .await,
                    1
                );
                panic!("on purpose");
            });
        });
        assert!(panicked.join().is_err());
    }
}

#[test]
fn connections_outlive_the_runtime_that_uses_them() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut databases = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut tx = harness.tx().await.unwrap();
            databases.insert(database(&mut tx).await);
            tx.close().await.unwrap();
        });
    }
    assert_eq!(databases.len(), 1, "each used the same lane: {databases:?}");
}

#[tokio::test]
async fn a_cancelled_opening_does_not_affect_the_next_test() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    harness.tx().await.unwrap().close().await.unwrap();
    for polls in 0..6 {
        let mut opening = Box::pin(harness.tx());
        for _ in 0..polls {
            let waker = std::task::Waker::noop();
            if opening
                .as_mut()
                .poll(&mut std::task::Context::from_waker(waker))
                .is_ready()
            {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(opening);
        let mut tx = harness.tx().await.unwrap();
        assert_eq!(
            number(
                &mut tx,
                "insert into parents (name) values ('a') returning id"
            )
            .await,
            1
        );
        tx.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_application_name_is_the_tests_name() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = harness.tx().await.unwrap();
    let name: String = sqlx::query_scalar("show application_name")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(name, std::thread::current().name().unwrap());
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_test_that_sets_another_role_is_guarded_too() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_family.sql", MIGRATION);
    let harness = scratch.builder().build().unwrap();
    let mut tx = harness.tx().await.unwrap();
    // The owner of a database is a member of this role there, so it needs no right to create roles.
    // https://www.postgresql.org/docs/current/predefined-roles.html
    run(
        &mut tx,
        "grant select, insert on parents to pg_database_owner; set local role pg_database_owner",
    )
    .await
    .unwrap();
    run(&mut tx, "insert into parents (name) values ('a')")
        .await
        .unwrap();
    tx.close().await.unwrap();
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(count(&mut tx, "parents").await, 0);
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_client_that_uses_the_url_reaches_the_same_database() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = harness.tx().await.unwrap();
    let mut other = PgConnection::connect(&tx.url()).await.unwrap();
    let other_name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(&mut other)
        .await
        .unwrap();
    let tx_name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(other_name, tx_name);
    other.close().await.unwrap();
    tx.close().await.unwrap();
}

#[test]
fn a_panic_is_also_reported_without_the_attribute() {
    if child_role().is_none() {
        let mut child = test_command_as("panics", this_test!())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map(Result::unwrap);
        lines
            .find(|line| line == "ebbtide: a test failed")
            .expect("the child prints a report");
        assert!(
            lines
                .next()
                .unwrap()
                .starts_with("  it had a Tx: ebbtide_l_")
        );
        let scratch = Scratch::new();
        let harness = scratch.builder().build().unwrap();
        if harness.plan().get("backend").unwrap().value == Backend::External.to_string() {
            // Most roles may not read the log of an external server.
            assert!(
                lines
                    .next()
                    .unwrap()
                    .starts_with("  the server's log cannot be read: ")
            );
        } else {
            assert_eq!(lines.next().unwrap(), "  the server refused:");
            assert_eq!(lines.next().unwrap(), "    22012 division by zero");
        }
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        return;
    }
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let panicked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut tx = harness.tx().await.unwrap();
            run(&mut tx, "select 1 / 0").await.unwrap();
        });
    });
    assert!(panicked.join().is_err());
    // The background runtime prints the report, and would not finish if the process ended now. So the
    // child waits until the parent closes its stdin.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
