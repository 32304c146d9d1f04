//! SQL of a test that tries to end its transaction: the server refuses it, or the test fails and
//! the database is not used again.

use crate::support::Scratch;
use crate::support::sql::{code, is_superuser, run};
use ebbtide::{ErrorKind, Harness, Tx};
use sqlx::{Connection as _, PgConnection};

const MIGRATION: &str = "
    create table notes (id int primary key, text text not null);
    create table parents (id int primary key);
    create table children (parent int constraint children_parent references parents deferrable initially deferred);
    create procedure commits() language plpgsql as $$ begin insert into notes values (9, 'called'); commit; end $$;
    create function checks() returns void language plpgsql as $$ begin set constraints all immediate; end $$;
";

fn harness(scratch: &Scratch) -> Harness {
    scratch.write("migrations/1_notes.sql", MIGRATION);
    scratch.builder().build().unwrap()
}

async fn notes(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select count(*) from notes")
        .fetch_one(connection)
        .await
        .unwrap()
}

/// Asserts that the next test finds no rows of the previous one, and can write.
async fn assert_new(harness: &Harness, after: &str) {
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(notes(&mut tx).await, 0, "{after}");
    run(&mut tx, "insert into notes values (1, 'new')")
        .await
        .unwrap();
    tx.close().await.unwrap();
}

/// A transaction that has written a row.
async fn tx_with_a_row(harness: &Harness) -> Tx {
    let mut tx = harness.tx().await.unwrap();
    run(&mut tx, "insert into notes values (1, 'written')")
        .await
        .unwrap();
    tx
}

#[tokio::test]
async fn a_statement_that_would_commit_is_refused() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for sql in [
        "commit",
        "end",
        "commit and chain",
        "insert into notes values (2, 'more'); commit; insert into notes values (3, 'after')",
        "set constraints all immediate; commit",
        "set session_replication_role = replica; commit",
        "delete from _ebbtide.open_test; commit",
        "/* set constraints */ commit",
    ] {
        let mut tx = tx_with_a_row(&harness).await;
        if sql.contains("session_replication_role") && !is_superuser(&mut tx).await {
            tx.close().await.unwrap();
            continue;
        }
        let refused = run(&mut tx, sql).await.unwrap_err();
        assert_eq!(code(&refused), "25000", "{sql}: {refused}");
        assert!(
            refused.to_string().contains("COMMIT refused"),
            "{sql}: {refused}"
        );
        // The end of the test reports the COMMIT again, unless `SET CONSTRAINTS` was refused before
        // it.
        assert_eq!(
            tx.close().await.is_err(),
            !sql.contains("; commit") || !sql.starts_with("set constraints"),
            "{sql}"
        );
        assert_new(&harness, sql).await;
    }
}

#[tokio::test]
async fn a_test_that_ends_its_transaction_otherwise_fails() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for sql in [
        "rollback",
        "abort",
        "rollback and chain",
        "rollback; set session characteristics as transaction read write; insert into notes values (2, 'escaped')",
        "rollback; set default_transaction_read_only = off; begin; insert into notes values (2, 'escaped'); commit",
        "rollback; begin read write; drop table notes cascade; commit",
        "rollback; discard all",
    ] {
        let mut tx = tx_with_a_row(&harness).await;
        for statement in sql.split(';') {
            run(&mut tx, statement).await.unwrap();
        }
        assert_eq!(
            tx.close().await.unwrap_err().kind(),
            ErrorKind::TransactionEscaped,
            "{sql}"
        );
        assert_new(&harness, sql).await;
    }
}

/// The name of a savepoint is not enough to recognise ebbtide's transaction after an error.
#[tokio::test]
async fn a_test_that_fails_in_an_imitation_of_the_guarded_transaction_fails() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for failing in ["select 1 / 0", "insert into notes values (3, 'read only')"] {
        let mut tx = tx_with_a_row(&harness).await;
        run(
            &mut tx,
            "rollback; begin read write; insert into notes values (2, 'escaped'); commit",
        )
        .await
        .unwrap();
        run(&mut tx, "begin").await.unwrap();
        run(&mut tx, "savepoint _ebbtide").await.unwrap();
        run(&mut tx, failing).await.unwrap_err();
        assert_eq!(
            tx.close().await.unwrap_err().kind(),
            ErrorKind::TransactionEscaped,
            "{failing}"
        );
        assert_new(&harness, failing).await;
    }
}

#[tokio::test]
async fn a_statement_that_a_transaction_cannot_run_is_refused_and_leaves_nothing() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for (sql, refusal) in [
        ("call commits()", "2D000"),
        ("do $$ begin commit; end $$", "2D000"),
        ("do $$ begin rollback; end $$", "2D000"),
        ("discard all", "25001"),
        ("vacuum", "25001"),
        ("create index concurrently on notes (text)", "25001"),
        ("set transaction isolation level serializable", "25001"),
    ] {
        let mut tx = tx_with_a_row(&harness).await;
        let refused = run(&mut tx, sql).await.unwrap_err();
        assert_eq!(code(&refused), refusal, "{sql}: {refused}");
        tx.close().await.unwrap();
        assert_new(&harness, sql).await;
    }
}

/// By default, `max_prepared_transactions` is 0.
#[tokio::test]
async fn a_prepared_transaction_is_refused() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = tx_with_a_row(&harness).await;
    run(&mut tx, "prepare transaction 'stray'")
        .await
        .unwrap_err();
    assert_eq!(
        tx.close().await.unwrap_err().kind(),
        ErrorKind::TransactionEscaped
    );
    assert_new(&harness, "prepare transaction").await;
}

#[tokio::test]
async fn a_prepared_transaction_is_refused_although_the_server_allows_them() {
    if !crate::support::runs_natively(crate::support::this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_notes.sql", MIGRATION);
    let harness = scratch
        .own_server()
        .setting("max_prepared_transactions", "2")
        .build()
        .unwrap();
    let mut tx = tx_with_a_row(&harness).await;
    let refused = run(&mut tx, "prepare transaction 'stray'")
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("COMMIT refused"), "{refused}");
    assert_eq!(
        tx.close().await.unwrap_err().kind(),
        ErrorKind::TransactionEscaped
    );
    assert_new(&harness, "prepare transaction").await;
}

#[tokio::test]
async fn settings_of_the_session_are_undone_with_the_transaction() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for sql in [
        "set session characteristics as transaction isolation level serializable",
        "set session characteristics as transaction read write",
        "set work_mem = '1MB'; set search_path = pg_catalog",
        "set session_replication_role = replica",
        "reset all",
        "set ebbtide.test = 'shut'",
    ] {
        let mut tx = tx_with_a_row(&harness).await;
        if !sql.contains("session_replication_role") || is_superuser(&mut tx).await {
            run(&mut tx, sql).await.unwrap();
        }
        tx.close().await.unwrap();
        let mut tx = harness.tx().await.unwrap();
        let settings: Vec<String> = sqlx::query_scalar(
            "select current_setting(name) from unnest(array['default_transaction_isolation', \
             'default_transaction_read_only', 'work_mem', 'search_path', 'session_replication_role']) name",
        )
        .fetch_all(&mut *tx)
        .await
        .unwrap();
        assert_eq!(
            settings,
            ["read committed", "on", "4MB", "\"$user\", public", "origin"],
            "{sql}"
        );
        tx.close().await.unwrap();
        assert_new(&harness, sql).await;
    }
}

#[tokio::test]
async fn an_application_may_check_its_deferred_constraints() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for check in [
        "set constraints all immediate",
        "select checks()",
        "do $$ begin set constraints all immediate; end $$",
        "set constraints all immediate; set constraints all deferred; set constraints all immediate",
        "savepoint a; set constraints all immediate; rollback to a",
    ] {
        // Constraints that hold.
        let mut tx = tx_with_a_row(&harness).await;
        run(
            &mut tx,
            "insert into parents values (1); insert into children values (1)",
        )
        .await
        .unwrap();
        run(&mut tx, check).await.unwrap();
        run(&mut tx, "insert into notes values (2, 'goes on')")
            .await
            .unwrap();
        tx.close().await.unwrap();
        assert_new(&harness, check).await;

        // The application gets the error of a violated constraint.
        let mut tx = tx_with_a_row(&harness).await;
        run(&mut tx, "insert into children values (4711)")
            .await
            .unwrap();
        assert_eq!(
            code(&run(&mut tx, check).await.unwrap_err()),
            "23503",
            "{check}"
        );
        tx.close().await.unwrap();

        // The guard is still armed.
        let mut tx = tx_with_a_row(&harness).await;
        run(&mut tx, check).await.unwrap();
        let refused = run(&mut tx, "commit").await.unwrap_err();
        assert!(
            refused.to_string().contains("COMMIT refused"),
            "{check}: {refused}"
        );
        assert_eq!(
            tx.close().await.unwrap_err().kind(),
            ErrorKind::TransactionEscaped,
            "{check}"
        );
        assert_new(&harness, check).await;
    }
}

/// A client that still has the name of a test's database may commit between two tests.
#[tokio::test]
async fn a_client_between_two_tests_is_detected() {
    for migration in [
        MIGRATION,
        "create table notes (id int primary key, text text not null)",
    ] {
        let scratch = Scratch::new();
        scratch.write("migrations/1_notes.sql", migration);
        let harness = scratch.own_server().build().unwrap();
        // This database occupies one lane, so all transactions use the other lane.
        let other = harness.database().await.unwrap();
        let mut lane = String::new();
        for _ in 0..3 {
            let mut tx = harness.tx().await.unwrap();
            lane = sqlx::query_scalar("select current_database()::text")
                .fetch_one(&mut *tx)
                .await
                .unwrap();
            tx.close().await.unwrap();
        }
        let mut client = PgConnection::connect(&other.url().replace(other.name(), &lane))
            .await
            .unwrap();
        run(&mut client, "insert into notes values (1, 'in between')")
            .await
            .unwrap();
        client.close().await.unwrap();
        let mut tx = harness.tx().await.unwrap();
        assert_eq!(notes(&mut tx).await, 1, "the same lane");
        tx.close().await.unwrap();
        assert_new(&harness, migration).await;
        other.close().await.unwrap();
    }
}
