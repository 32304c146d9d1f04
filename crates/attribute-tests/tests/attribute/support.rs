//! What the tests ask their databases.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use ebbtide::Tx;
use sqlx::PgExecutor;

/// The customers in the order in which they came.
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

/// Adds a customer. The first one of a new database has the number 1.
pub(crate) async fn add<'e>(database: impl PgExecutor<'e>, name: &str) -> i64 {
    let statement = "insert into customers (name) values ($1) returning id";
    sqlx::query_scalar(statement)
        .bind(name)
        .fetch_one(database)
        .await
        .unwrap()
}

/// An order of nobody, which the deferred constraint `orders_customer_fkey` refuses at a commit.
pub(crate) async fn order_for_nobody<'e>(database: impl PgExecutor<'e>) {
    sqlx::query("insert into orders (customer) values (4711)")
        .execute(database)
        .await
        .unwrap();
}

/// The user's tables.
pub(crate) async fn tables<'e>(database: impl PgExecutor<'e>) -> Vec<String> {
    let statement = "select relname::text from pg_class \
                     where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> '_sqlx_migrations' \
                     order by relname";
    sqlx::query_scalar(statement)
        .fetch_all(database)
        .await
        .unwrap()
}

/// The process of the server that answers.
pub(crate) async fn session<'e>(database: impl PgExecutor<'e>) -> i32 {
    sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(database)
        .await
        .unwrap()
}

/// Asserts in the last of several tests that nothing of the others is there. The database may be another one than
/// theirs, so it is asked for several times.
#[ebbtide::test]
pub(crate) async fn nothing_is_left() {
    for _ in 0..3 {
        let mut tx = ebbtide::tx().await.unwrap();
        assert_eq!(customers(&mut *tx).await, [""; 0]);
        assert_eq!(services(&mut *tx).await, ["cut", "wash"]);
        assert_eq!(add(&mut *tx, "first").await, 1, "the identity starts anew");
        tx.close().await.unwrap();
    }
}

/// Waits, outside any test, until no session of the server meets a condition on `pg_stat_activity` with one parameter.
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
                "there is still a session where {condition}, {parameter}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tx.close().await.unwrap();
    });
}

/// How many sessions of the server there are.
pub(crate) async fn sessions(tx: &mut Tx, condition: &'static str, parameter: &str) -> i64 {
    let statement = format!(
        "select count(*) from pg_stat_activity where pid <> pg_backend_pid() and ({condition})"
    );
    // A transaction sees the sessions as they were when it first looked.
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

/// What a test says that panics.
#[track_caller]
pub(crate) fn complaint(failing: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(failing)).expect_err("the test fails");
    match panic.downcast::<String>() {
        Ok(said) => *said,
        Err(panic) => (*panic.downcast::<&str>().expect("a panic has a text")).to_owned(),
    }
}
