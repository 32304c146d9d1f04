//! Databases that return to a checkpoint.

use ebbtide::ErrorKind;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::{CHANGES, add, copies_with_sessions, harness, state, titles};
use crate::support::Scratch;
use crate::support::pool_sql::run;

#[tokio::test]
async fn a_database_returns_to_its_checkpoints_in_any_order() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let database = harness.database().await.unwrap();
    let (name, url, pool) = (
        database.name().to_owned(),
        database.url().to_owned(),
        database.pool(),
    );
    let empty = database.checkpoint().await.unwrap();
    let at_empty = state(&database).await;
    run(&pool, CHANGES).await;
    let changed = database.checkpoint().await.unwrap();
    let at_changed = state(&database).await;
    assert_ne!(at_empty, at_changed);
    run(
        &pool,
        "drop table loans; alter table books add column extra int",
    )
    .await;
    for (checkpoint, expected) in [
        (&empty, &at_empty),
        (&changed, &at_changed),
        (&changed, &at_changed),
        (&empty, &at_empty),
    ] {
        let mut open = PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("begin; delete from shelves where id > 4")
            .execute(&mut open)
            .await
            .unwrap();
        database.rewind_to(checkpoint).await.unwrap();
        assert_eq!((database.name(), database.url()), (&*name, &*url));
        assert_eq!(state(&database).await, *expected);
        sqlx::query("select 1")
            .execute(&mut open)
            .await
            .expect_err("the session has ended");
        add(&database, "after the return").await;
        assert!(titles(&database).await.ends_with("after the return"));
    }
    // A checkpoint that was dropped does not matter for the other.
    drop(changed);
    database.rewind_to(&empty).await.unwrap();
    assert_eq!(state(&database).await, at_empty);
    database.close().await.unwrap();
    for _ in 0..3 {
        let next = harness.database().await.unwrap();
        assert_eq!(state(&next).await, at_empty);
        assert_ne!(next.name(), name);
        next.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_checkpoint_can_be_made_while_a_transaction_is_open() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let database = harness.database().await.unwrap();
    add(&database, "Emma").await;
    let pool = database.pool();
    let mut open = pool.begin().await.unwrap();
    let insert = "insert into books (shelf, title) values (1, 'Persuasion')";
    sqlx::query(insert).execute(&mut *open).await.unwrap();
    let made = database.checkpoint().await;
    open.commit().await.unwrap();
    assert_eq!(titles(&database).await, "Emma,Persuasion");
    match made {
        Ok(checkpoint) => {
            database.rewind_to(&checkpoint).await.unwrap();
            assert_eq!(titles(&database).await, "Emma");
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Checkpoint);
            assert!(!copies_with_sessions(&harness).await, "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_checkpoint_of_another_database_is_refused() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let (one, other) = (
        harness.database().await.unwrap(),
        harness.database().await.unwrap(),
    );
    add(&one, "Emma").await;
    let checkpoint = other.checkpoint().await.unwrap();
    let fork = other.fork().await.unwrap();
    for database in [&one, &fork] {
        let error = database.rewind_to(&checkpoint).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Checkpoint);
        assert!(error.to_string().contains(other.name()), "{error}");
        assert!(error.help().unwrap().contains("`fork()`"));
    }
    assert_eq!(titles(&one).await, "Emma");
    // Another task can do it, too.
    let rewinding = async move { other.rewind_to(&checkpoint).await };
    tokio::spawn(rewinding).await.unwrap().unwrap();
}

#[test]
fn a_test_that_is_not_async_forks_and_returns() {
    use ebbtide::blocking;
    let scratch = Scratch::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let database = blocking::database_of(&harness(&scratch)).unwrap();
    // The pool's connection belongs to a runtime that does not run during the calls. It returns to
    // the pool in a task of that runtime.
    runtime.block_on(async {
        add(&database, "Emma").await;
        while database.pool().num_idle() == 0 {
            tokio::task::yield_now().await;
        }
    });
    let fork = blocking::fork(&database).unwrap();
    let checkpoint = blocking::checkpoint(&database).unwrap();
    runtime.block_on(add(&database, "Persuasion"));
    blocking::rewind_to(&database, &checkpoint).unwrap();
    for database in [&database, &fork] {
        assert_eq!(runtime.block_on(titles(database)), "Emma");
    }
    blocking::close(database).unwrap();
    blocking::close(fork).unwrap();
}
