//! What a fork has, without and with sessions on its source.

use ebbtide::{Database, ErrorKind, Setup};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnection, PgPool};

use super::{CHANGES, add, copies_with_sessions, harness, state, titles};
use crate::support::Scratch;
use crate::support::pool_sql::{number, run};

#[tokio::test]
async fn a_fork_has_everything_of_its_source_and_is_independent() {
    let scratch = Scratch::new();
    let source = harness(&scratch).database().await.unwrap();
    run(&source.pool(), CHANGES).await;
    run(
        &source.pool(),
        "create table extra as select 1 as one; refresh materialized view totals; \
        create publication news for table extra",
    )
    .await;
    let before = state(&source).await;
    assert!(
        before.contains("moved") && before.contains("of a test"),
        "{before}"
    );
    let fork = source.fork().await.unwrap();
    assert_ne!(fork.name(), source.name());
    assert_eq!(state(&fork).await, before);
    assert_eq!(number(&fork.pool(), "select one::int8 from extra").await, 1);
    add(&fork, "of the fork").await;
    run(&source.pool(), "drop table extra; delete from loans").await;
    let of_fork = fork.fork().await.unwrap();
    source.close().await.unwrap();
    for database in [&fork, &of_fork] {
        assert!(titles(database).await.ends_with("of the fork"));
        let rows = "select (select count(*) from extra) + (select count(*) from loans)";
        assert_eq!(number(&database.pool(), rows).await, 2);
    }
    let (name, url) = (fork.name().to_owned(), fork.url().to_owned());
    fork.close().await.unwrap();
    PgConnection::connect(&url)
        .await
        .expect_err("the fork is dropped");
    let kept = of_fork.keep().await.unwrap();
    let mut session = PgConnection::connect(&kept.url).await.unwrap();
    let left: i64 = sqlx::query_scalar("select count(*) from pg_database where datname = $1")
        .bind(name)
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(left, 0);
    session.close().await.unwrap();
}

#[tokio::test]
async fn sessions_stay_and_their_open_transactions_are_not_seen() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let source = harness.database().await.unwrap();
    run(&source.pool(), CHANGES).await;
    let before = state(&source).await;
    let pool = PgPool::connect(source.url()).await.unwrap();
    let mut open = pool.begin().await.unwrap();
    let insert = "insert into books (shelf, title) values (1, 'not committed')";
    sqlx::query(insert).execute(&mut *open).await.unwrap();
    let moved = before.replace("\n70f\n", "\n70t\n");
    let forked = source.fork().await;
    if copies_with_sessions(&harness).await {
        let fork = forked.unwrap();
        assert_eq!(
            state(&fork).await,
            moved,
            "a sequence moves without a commit"
        );
        add(&fork, "of the fork").await;
        assert!(titles(&fork).await.ends_with("of the fork"));
        // The triggers and the foreign keys are in force again.
        let refused = sqlx::query("delete from shelves where id = 1")
            .execute(&fork.pool())
            .await;
        assert_eq!(crate::support::sql::code(&refused.unwrap_err()), "23503");
    } else {
        assert_eq!(forked.unwrap_err().kind(), ErrorKind::Fork);
    }
    open.commit().await.unwrap();
    assert!(titles(&source).await.ends_with("not committed"));
    pool.close().await;
    let fork = source.fork().await.unwrap();
    assert_eq!(state(&fork).await, state(&source).await);
}

#[tokio::test]
async fn what_only_a_copy_of_the_files_has_needs_the_sessions_closed() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for change in [
        "alter table shelves add column width int default 7",
        "comment on table shelves is 'changed'",
        "delete from shelves; refresh materialized view totals",
        "begin; lock table shelves",
    ] {
        let source = harness.database().await.unwrap();
        let mut open = PgConnection::connect(source.url()).await.unwrap();
        sqlx::raw_sql(change).execute(&mut open).await.unwrap();
        let error = source.fork().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fork, "{error:?}");
        let report = format!("{error:?}");
        assert!(
            report.contains("session ") && report.contains("close these sessions"),
            "{report}"
        );
        if change.starts_with("alter") {
            let error = source.checkpoint().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error:?}");
        }
        open.close().await.unwrap();
        let fork = source.fork().await.unwrap();
        let width = "select count(*) from pg_attribute where attname = 'width'";
        for database in [&source, &fork] {
            let expected = i64::from(change.starts_with("alter"));
            assert_eq!(number(&database.pool(), width).await, expected);
        }
        assert_eq!(state(&fork).await, state(&source).await, "{change}");
    }
}

#[tokio::test]
async fn objects_that_contain_the_databases_name_contain_that_of_the_fork() {
    let scratch = Scratch::new();
    // Once by a migration, and once by the test itself.
    let function = "create function home() returns text language sql as $$ select 'nowhere' $$;
        do $$ begin execute format(
            'create or replace function home() returns text language sql as %L',
            format('select %L::text', current_database())); end $$;";
    let by_migration = scratch.harness("1_home.sql", &format!("{function} create table t ();"));
    let source = by_migration.database().await.unwrap();
    let fork = source.fork().await.unwrap();
    let by_test = Scratch::new();
    let by_test = harness(&by_test).database().await.unwrap();
    run(&by_test.pool(), function).await;
    let other_fork = by_test.fork().await.unwrap();
    for database in [&source, &fork, &by_test, &other_fork] {
        let home: String = sqlx::query_scalar("select home()")
            .fetch_one(&database.pool())
            .await
            .unwrap();
        assert_eq!(home, database.name());
    }
    let slot = sqlx::query("select pg_create_logical_replication_slot('books', 'test_decoding')");
    // A server with another wal_level, or another role, has no such slots.
    if slot.execute(&source.pool()).await.is_ok() {
        let error = source.fork().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fork);
        assert!(
            error.to_string().contains("the replication slot books"),
            "{error}"
        );
    }
}

/// The time of each is that of a copy, so they also show that no copy waits for another's session.
#[tokio::test]
async fn fifty_forks_of_one_state_are_made_at_once() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let source = harness.database().await.unwrap();
    add(&source, "Emma").await;
    let forks = (0..50).map(|number| {
        let fork = source.fork();
        async move {
            let fork = fork.await.unwrap();
            add(&fork, &number.to_string()).await;
            assert_eq!(titles(&fork).await, format!("Emma,{number}"));
            fork
        }
    });
    let forks: Vec<Database> = futures_util::future::join_all(forks).await;
    let names: std::collections::BTreeSet<&str> = forks.iter().map(Database::name).collect();
    assert_eq!(names.len(), 50);
    assert_eq!(titles(&source).await, "Emma");
}

#[tokio::test]
async fn migrations_continue_in_a_fork_at_the_version_of_its_source() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_people.sql", "create table people (id int);");
    scratch.write(
        "migrations/2_names.sql",
        "alter table people add name text;",
    );
    scratch.write("migrations/3_notes.sql", "create table notes (id int);");
    let harness = scratch.builder().build().unwrap();
    let at_one = harness.with_setup(Setup::new().migrations_up_to(1));
    let source = at_one.database().await.unwrap();
    let first = source.checkpoint().await.unwrap();
    let fork = source.fork().await.unwrap();
    assert_eq!(fork.migrate_to(2).await.unwrap().to_string(), "applied 2");
    let of_fork = fork.fork().await.unwrap();
    assert_eq!(of_fork.migrate().await.unwrap().to_string(), "applied 3");
    assert_eq!(fork.migrate().await.unwrap().to_string(), "applied 3");
    assert_eq!(source.migrate().await.unwrap().to_string(), "applied 2, 3");
    source.rewind_to(&first).await.unwrap();
    assert_eq!(source.migrate_to(2).await.unwrap().to_string(), "applied 2");
}
