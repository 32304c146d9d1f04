//! What a test's own SQL may do to its transaction: it stays, or the test is told and the database is not used again.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use ebbtide::{ErrorKind, Harness, Tx};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use support::Scratch;

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

async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}

async fn notes(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select count(*) from notes")
        .fetch_one(connection)
        .await
        .unwrap()
}

fn code(error: &sqlx::Error) -> String {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .unwrap_or_default()
        .into_owned()
}

/// The next test finds nothing of the one before, and can write.
async fn assert_new(harness: &Harness, after: &str) {
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(notes(&mut tx).await, 0, "{after}");
    run(&mut tx, "insert into notes values (1, 'new')")
        .await
        .unwrap();
    tx.close().await.unwrap();
}

/// Whether our role may do everything, also keep triggers from firing.
async fn is_superuser(tx: &mut Tx) -> bool {
    sqlx::query_scalar("select rolsuper from pg_roles where rolname = current_user")
        .fetch_one(&mut **tx)
        .await
        .unwrap()
}

/// A transaction in which something is written.
async fn written(harness: &Harness) -> Tx {
    let mut tx = harness.tx().await.unwrap();
    run(&mut tx, "insert into notes values (1, 'written')")
        .await
        .unwrap();
    tx
}

#[tokio::test]
async fn what_would_commit_is_refused() {
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
        let mut tx = written(&harness).await;
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
        // It is told of the COMMIT once more, unless `SET CONSTRAINTS` was refused in its stead.
        assert_eq!(
            tx.close().await.is_err(),
            !sql.contains("; commit") || !sql.starts_with("set constraints"),
            "{sql}"
        );
        assert_new(&harness, sql).await;
    }
}

#[tokio::test]
async fn whoever_ends_the_transaction_otherwise_is_told() {
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
        let mut tx = written(&harness).await;
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

/// A transaction that failed is told from ours by more than the name of a savepoint in it.
#[tokio::test]
async fn whoever_fails_in_a_transaction_of_its_own_that_looks_like_ours_is_told() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for failing in ["select 1 / 0", "insert into notes values (3, 'read only')"] {
        let mut tx = written(&harness).await;
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
async fn what_a_transaction_cannot_do_is_refused_by_the_server_and_nothing_is_left() {
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
        let mut tx = written(&harness).await;
        let refused = run(&mut tx, sql).await.unwrap_err();
        assert_eq!(code(&refused), refusal, "{sql}: {refused}");
        tx.close().await.unwrap();
        assert_new(&harness, sql).await;
    }
}

/// Servers have none of them unless they are told to.
#[tokio::test]
async fn a_prepared_transaction_is_refused() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = written(&harness).await;
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
async fn a_prepared_transaction_is_refused_where_the_server_has_them() {
    if !support::natively(support::here!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_notes.sql", MIGRATION);
    let harness = scratch
        .lonely()
        .setting("max_prepared_transactions", "2")
        .build()
        .unwrap();
    let mut tx = written(&harness).await;
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
async fn settings_of_the_session_go_with_the_transaction() {
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
        let mut tx = written(&harness).await;
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
async fn an_application_may_check_its_constraints_at_once() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for check in [
        "set constraints all immediate",
        "select checks()",
        "do $$ begin set constraints all immediate; end $$",
        "set constraints all immediate; set constraints all deferred; set constraints all immediate",
        "savepoint a; set constraints all immediate; rollback to a",
    ] {
        // What holds is no trouble.
        let mut tx = written(&harness).await;
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

        // What does not hold is told to the application.
        let mut tx = written(&harness).await;
        run(&mut tx, "insert into children values (4711)")
            .await
            .unwrap();
        assert_eq!(
            code(&run(&mut tx, check).await.unwrap_err()),
            "23503",
            "{check}"
        );
        tx.close().await.unwrap();

        // And the guard stands as before.
        let mut tx = written(&harness).await;
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

/// A client that keeps the name of a test's database may commit when the test is over and the next one has not begun.
#[tokio::test]
async fn a_client_between_two_tests_is_detected() {
    for migration in [
        MIGRATION,
        "create table notes (id int primary key, text text not null)",
    ] {
        let scratch = Scratch::new();
        scratch.write("migrations/1_notes.sql", migration);
        let harness = scratch.lonely().build().unwrap();
        // It has a lane of its own, and the transactions all have another one.
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
