//! What a `Sandbox` guarantees: the application's own transactions work, and leave nothing behind.

use std::time::{Duration, Instant};

use crate::support::sql::text_at;
use crate::support::{Scratch, current_thread_runtime};
use ebbtide::{ErrorKind, Harness, Sandbox};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Acquire as _, Connection as _, PgExecutor};

const MIGRATION: &str = "
    create table customers (id bigint generated always as identity primary key, name text not null unique);
    create table orders (
        id serial primary key,
        customer bigint not null constraint orders_customer_fkey references customers deferrable initially deferred
    );
";

fn harness(scratch: &Scratch) -> Harness {
    scratch.harness("1_shop.sql", MIGRATION)
}

/// The number of customers that the pool or the transaction sees.
async fn customers<'c>(executor: impl PgExecutor<'c>) -> i64 {
    sqlx::query_scalar("select count(*) from customers")
        .fetch_one(executor)
        .await
        .unwrap()
}

/// Inserts a customer through the pool or in the transaction, and returns the id.
async fn add<'c>(executor: impl PgExecutor<'c>, name: &str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("insert into customers (name) values ($1) returning id")
        .bind(name)
        .fetch_one(executor)
        .await
}

/// Asserts that the next test sees no rows of the previous one.
async fn assert_nothing_is_left(harness: &Harness) {
    let next = harness.sandbox().await.unwrap();
    assert_eq!(customers(&*next).await, 0);
    assert_eq!(
        add(&*next, "first").await.unwrap(),
        1,
        "the identity column must start at 1 again"
    );
    next.close().await.unwrap();
}

#[tokio::test]
async fn a_commit_is_visible_in_the_same_test_and_undone_after_it() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let sandbox = harness.sandbox().await.unwrap();
    let pool = sandbox.clone();
    let mut transaction = pool.begin().await.unwrap();
    add(&mut *transaction, "Laura").await.unwrap();
    let mut nested = transaction.begin().await.unwrap();
    add(&mut *nested, "Marta").await.unwrap();
    nested.commit().await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(customers(&pool).await, 2);
    sandbox.close().await.unwrap();
    assert_nothing_is_left(&harness).await;
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_or_dropped_is_undone() {
    let scratch = Scratch::new();
    let sandbox = harness(&scratch).sandbox().await.unwrap();
    add(&*sandbox, "stays").await.unwrap();
    let mut transaction = sandbox.begin().await.unwrap();
    add(&mut *transaction, "Laura").await.unwrap();
    let mut nested = transaction.begin().await.unwrap();
    add(&mut *nested, "Marta").await.unwrap();
    nested.rollback().await.unwrap();
    assert_eq!(customers(&mut *transaction).await, 2);
    drop(transaction);
    assert_eq!(customers(&*sandbox).await, 1);
    sandbox.close().await.unwrap();
}

#[tokio::test]
async fn a_failed_statement_undoes_only_itself() {
    let scratch = Scratch::new();
    let sandbox = harness(&scratch).sandbox().await.unwrap();
    add(&*sandbox, "Laura").await.unwrap();
    add(&*sandbox, "Laura").await.unwrap_err();
    assert_eq!(customers(&*sandbox).await, 1, "outside a transaction");

    let mut transaction = sandbox.begin().await.unwrap();
    add(&mut *transaction, "Laura").await.unwrap_err();
    let poisoned = sqlx::query("select 1")
        .execute(&mut *transaction)
        .await
        .unwrap_err();
    assert_eq!(
        poisoned.as_database_error().unwrap().code().unwrap(),
        "25P02",
        "inside, as in every transaction"
    );
    transaction.rollback().await.unwrap();
    add(&*sandbox, "Marta").await.unwrap();
    assert_eq!(customers(&*sandbox).await, 2);
    sandbox.close().await.unwrap();
}

#[tokio::test]
async fn clones_of_the_pool_work_in_spawned_tasks() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let sandbox = harness.sandbox().await.unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let pool = sandbox.clone();
            tokio::spawn(async move {
                let mut transaction = pool.begin().await.unwrap();
                let name = format!("customer {number}");
                add(&mut *transaction, &name).await.unwrap();
                transaction.commit().await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(customers(&*sandbox).await, 20);
    sandbox.close().await.unwrap();
    assert_nothing_is_left(&harness).await;
}

#[tokio::test]
async fn a_sandbox_is_rolled_back_also_when_it_is_dropped() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for _ in 0..5 {
        let sandbox = harness.sandbox().await.unwrap();
        assert_eq!(add(&*sandbox, "Laura").await.unwrap(), 1);
    }
    assert_nothing_is_left(&harness).await;
}

#[tokio::test]
async fn a_second_connection_is_refused_with_the_remedy() {
    let scratch = Scratch::new();
    let sandbox = harness(&scratch).sandbox().await.unwrap();
    // Starts before `begin`: the five seconds count from the moment at which the connection is in
    // use.
    let start = Instant::now();
    let mut transaction = sandbox.begin().await.unwrap();
    add(&mut *transaction, "Laura").await.unwrap();
    // The application's mistake: the pool instead of the transaction.
    let error = add(&*sandbox, "Marta").await.unwrap_err();
    assert!(
        start.elapsed() >= Duration::from_secs(5),
        "the second caller must wait for five seconds, but waited only {:?}",
        start.elapsed()
    );
    let refused = error.as_database_error().unwrap();
    assert_eq!(refused.code().unwrap(), "53400");
    assert_eq!(
        refused.message(),
        "a Sandbox has only one connection, and it is in use, was closed, or left its transaction by a COMMIT or ROLLBACK: \
         finish the first query or transaction before the next one begins (pass `&mut *tx` instead of the pool), or let \
         the test take an `ebbtide::Database`, which allows several connections"
    );
    transaction.commit().await.unwrap();
    add(&*sandbox, "Marta").await.unwrap();
    assert_eq!(
        customers(&*sandbox).await,
        2,
        "the first transaction must continue to work"
    );
    sandbox.close().await.unwrap();
}

#[tokio::test]
async fn a_waiting_task_gets_the_connection_when_it_is_released() {
    let scratch = Scratch::new();
    let sandbox = harness(&scratch).sandbox().await.unwrap();
    let transaction = sandbox.begin().await.unwrap();
    let pool = sandbox.clone();
    let waiting = tokio::spawn(async move { add(&pool, "Marta").await });
    tokio::task::yield_now().await;
    transaction.commit().await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(customers(&*sandbox).await, 1);
    sandbox.close().await.unwrap();
}

#[tokio::test]
async fn the_connect_options_of_the_pool_never_change() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for _ in 0..20 {
        let sandbox = harness.sandbox().await.unwrap();
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..2000 {
            names.insert(
                sandbox
                    .connect_options()
                    .get_application_name()
                    .map(str::to_owned),
            );
        }
        assert_eq!(names.len(), 1, "{names:?}");
        sandbox.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_with_the_options_of_the_pool_is_refused_with_the_remedy() {
    let scratch = Scratch::new();
    let sandbox = harness(&scratch).sandbox().await.unwrap();
    let error = PgConnection::connect_with(&sandbox.connect_options())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("take an `ebbtide::Database`"),
        "{error}"
    );
    sandbox.close().await.unwrap();
}

#[tokio::test]
async fn the_application_may_close_the_pool() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let sandbox = harness.sandbox().await.unwrap();
    add(&*sandbox, "Laura").await.unwrap();
    sandbox.clone().close().await;
    assert!(matches!(
        add(&*sandbox, "Marta").await,
        Err(sqlx::Error::PoolClosed)
    ));
    sandbox.close().await.unwrap();
    assert_nothing_is_left(&harness).await;
}

#[tokio::test]
async fn an_application_that_closes_the_connection_loses_its_rows() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let sandbox = harness.sandbox().await.unwrap();
    add(&*sandbox, "Laura").await.unwrap();
    sandbox.acquire().await.unwrap().close().await.unwrap();
    let error = add(&*sandbox, "Marta").await.unwrap_err();
    assert!(error.to_string().contains("was closed"), "{error}");
    sandbox.close().await.unwrap();
    assert_nothing_is_left(&harness).await;
}

#[tokio::test]
async fn a_clone_of_the_pool_is_closed_with_its_sandbox() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let sandbox = harness.sandbox().await.unwrap();
    let leaked = sandbox.clone();
    sandbox.close().await.unwrap();
    assert!(matches!(
        add(&leaked, "late").await,
        Err(sqlx::Error::PoolClosed)
    ));
    assert_nothing_is_left(&harness).await;
}

#[tokio::test]
async fn a_connection_that_is_held_beyond_the_end_is_closed_and_reported() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let sandbox = harness.sandbox().await.unwrap();
    let mut held = sandbox.acquire().await.unwrap();
    let error = sandbox.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StillInUse);
    assert!(
        error
            .to_string()
            .contains("still uses the sandbox's connection"),
        "{error}"
    );
    add(&mut *held, "late").await.unwrap_err();
    assert_nothing_is_left(&harness).await;
}

#[tokio::test]
async fn deferred_constraints_are_checked_at_the_end() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let sandbox = harness.sandbox().await.unwrap();
    sqlx::query("insert into orders (customer) values (4711)")
        .execute(&*sandbox)
        .await
        .unwrap();
    let error = sandbox.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConstraintViolated);
    assert!(
        error.to_string().contains("orders_customer_fkey"),
        "{error}"
    );
    assert_nothing_is_left(&harness).await;
}

#[tokio::test]
async fn a_commit_in_sql_changes_nothing_and_fails_the_test() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let sandbox = harness.sandbox().await.unwrap();
    add(&*sandbox, "Laura").await.unwrap();
    let refused = sqlx::raw_sql("commit")
        .execute(&*sandbox)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("COMMIT refused"), "{refused}");
    let later = add(&*sandbox, "Marta").await.unwrap_err();
    assert!(
        later
            .to_string()
            .contains("left its transaction by a COMMIT"),
        "{later}"
    );
    let error = sandbox.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionEscaped);
    assert_nothing_is_left(&harness).await;
}

#[tokio::test]
async fn an_isolation_level_inside_the_transaction_is_refused() {
    let scratch = Scratch::new();
    let sandbox = harness(&scratch).sandbox().await.unwrap();
    add(&*sandbox, "Laura").await.unwrap();
    let error = sandbox
        .begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE")
        .await
        .unwrap_err();
    assert!(
        matches!(error, sqlx::Error::InvalidSavePointStatement),
        "{error:?}"
    );
    assert_eq!(customers(&*sandbox).await, 1, "earlier rows must remain");
    let mut transaction = sandbox.begin().await.unwrap();
    add(&mut *transaction, "Marta").await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(customers(&*sandbox).await, 1);
    sandbox.close().await.unwrap();
}

#[tokio::test]
async fn a_kept_sandbox_has_the_tests_rows() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let sandbox = harness.sandbox().await.unwrap();
    add(&*sandbox, "Laura").await.unwrap();
    let kept = sandbox.keep().await.unwrap();
    let name = text_at(&kept.url, "select name from customers").await;
    assert_eq!(name, "Laura");
    assert_nothing_is_left(&harness).await;
}

#[test]
fn a_sandbox_is_rolled_back_also_after_its_runtime_has_ended() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let first = current_thread_runtime();
    let sandbox: Sandbox = first.block_on(async {
        let sandbox = harness.sandbox().await.unwrap();
        add(&*sandbox, "Laura").await.unwrap();
        sandbox
    });
    drop(first);
    drop(sandbox);
    current_thread_runtime().block_on(assert_nothing_is_left(&harness));
}

/// The settings of the pool's next statement: its role, a timeout and a custom setting.
async fn settings(pool: &PgPool) -> [String; 3] {
    let query = "select array[current_user::text, current_setting('statement_timeout'), \
                 coalesce(current_setting('app.tenant', true), '')]";
    sqlx::query_scalar::<_, Vec<String>>(query)
        .fetch_one(pool)
        .await
        .unwrap()
        .try_into()
        .unwrap()
}

#[tokio::test]
async fn settings_that_are_local_to_an_inner_transaction_end_with_its_commit() {
    let scratch = Scratch::new();
    let sandbox = harness(&scratch).sandbox().await.unwrap();
    let pool = sandbox.clone();
    let before = settings(&pool).await;
    let mut transaction = pool.begin().await.unwrap();
    for sql in [
        "set local statement_timeout = '7s'",
        "select set_config('app.tenant', '1', true)",
        "declare c cursor for select 1",
    ] {
        sqlx::query(sql).execute(&mut *transaction).await.unwrap();
    }
    // On an external server, the test must not create a role, so it uses an existing one, if any.
    let role: Option<String> = sqlx::query_scalar(
        "select rolname::text from pg_roles where rolname <> current_user \
        and pg_has_role(current_user, oid, 'member') limit 1",
    )
    .fetch_optional(&mut *transaction)
    .await
    .unwrap();
    if let Some(role) = &role {
        let set = sqlx::AssertSqlSafe(format!("set local role {role}"));
        sqlx::raw_sql(set).execute(&mut *transaction).await.unwrap();
    }
    transaction.commit().await.unwrap();
    assert_eq!(settings(&pool).await, before);
    let cursors: i64 = sqlx::query_scalar("select count(*) from pg_cursors where name = 'c'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(cursors, 0, "a commit closes cursors");

    // A setting of the session stays, as it does in a pool with one connection.
    sqlx::query("set lock_timeout = '3s'")
        .execute(&pool)
        .await
        .unwrap();
    let lock_timeout: String = sqlx::query_scalar("show lock_timeout")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(lock_timeout, "3s");
    sandbox.close().await.unwrap();
}
