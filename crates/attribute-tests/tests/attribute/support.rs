//! Statements and queries that the tests share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use ebbtide::Tx;
use sqlx::PgExecutor;

/// The customers' names, in the order of insertion.
pub(crate) async fn customers<'e>(database: impl PgExecutor<'e>) -> Vec<String> {
    sqlx::query_scalar("select name from customers order by id")
        .fetch_all(database)
        .await
        .unwrap()
}

pub(crate) async fn services<'e>(database: impl PgExecutor<'e>) -> Vec<String> {
    sqlx::query_scalar("select name from services order by name")
        .fetch_all(database)
        .await
        .unwrap()
}

/// Inserts a customer and returns its id. The first one in a new database has the id 1.
pub(crate) async fn add<'e>(database: impl PgExecutor<'e>, name: &str) -> i64 {
    let statement = "insert into customers (name) values ($1) returning id";
    sqlx::query_scalar(statement)
        .bind(name)
        .fetch_one(database)
        .await
        .unwrap()
}

/// Inserts an order of a customer who does not exist. The deferred constraint
/// `orders_customer_fkey` would reject a commit.
pub(crate) async fn order_of_missing_customer<'e>(database: impl PgExecutor<'e>) {
    sqlx::query("insert into orders (customer) values (4711)")
        .execute(database)
        .await
        .unwrap();
}

/// The tables in the schema `public`, except sqlx's ledger.
pub(crate) async fn tables<'e>(database: impl PgExecutor<'e>) -> Vec<String> {
    let statement = "select relname::text from pg_class \
                     where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> '_sqlx_migrations' \
                     order by relname";
    sqlx::query_scalar(statement)
        .fetch_all(database)
        .await
        .unwrap()
}

/// The process id of the session.
pub(crate) async fn session<'e>(database: impl PgExecutor<'e>) -> i32 {
    sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(database)
        .await
        .unwrap()
}

/// Asserts that earlier tests left no rows and no used identity values.
///
/// It opens several transactions, because each may get a lane that an earlier test has used or one
/// that is new.
#[ebbtide::test]
pub(crate) async fn nothing_is_left() {
    for _ in 0..3 {
        let mut tx = ebbtide::tx().await.unwrap();
        assert_eq!(customers(&mut *tx).await, [""; 0]);
        assert_eq!(services(&mut *tx).await, ["cut", "wash"]);
        assert_eq!(add(&mut *tx, "first").await, 1, "the identity starts at 1");
        tx.close().await.unwrap();
    }
}

/// Waits until no session meets a condition on `pg_stat_activity` with one parameter.
///
/// It runs outside of any test of the attribute.
pub(crate) fn wait_until_gone(condition: &'static str, parameter: &str) {
    let deadline = Instant::now() + Duration::from_mins(2);
    let own = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    own.block_on(async {
        let mut tx = ebbtide::tx().await.unwrap();
        while sessions(&mut tx, condition, parameter).await > 0 {
            assert!(
                Instant::now() < deadline,
                "a session still meets the condition {condition} with $1 = {parameter}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tx.close().await.unwrap();
    });
}

/// The number of other sessions that meet a condition on `pg_stat_activity` with one parameter.
pub(crate) async fn sessions(tx: &mut Tx, condition: &'static str, parameter: &str) -> i64 {
    let statement = format!(
        "select count(*) from pg_stat_activity where pid <> pg_backend_pid() and ({condition})"
    );
    // A transaction keeps the snapshot of its first read of `pg_stat_activity`.
    // https://www.postgresql.org/docs/current/monitoring-stats.html
    sqlx::query("select pg_stat_clear_snapshot()")
        .execute(&mut **tx)
        .await
        .unwrap();
    sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
        .bind(parameter)
        .fetch_one(&mut **tx)
        .await
        .unwrap()
}

/// The panic message of a test that must fail.
#[track_caller]
pub(crate) fn panic_message(failing: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(failing)).expect_err("the test fails");
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => (*panic.downcast::<&str>().expect("a panic has a message")).to_owned(),
    }
}
