//! The argument types of `#[sqlx::test]`.

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Acquire as _, Connection as _, Postgres};

use crate::support::{add, customers, nothing_is_left, services, session};

/// Asserts that no test has used this database.
async fn assert_new(pool: &PgPool) {
    assert_eq!(customers(pool).await, [""; 0]);
    assert_eq!(services(pool).await, ["cut", "wash"]);
}

#[ebbtide::test]
fn a_test_that_is_not_async_has_no_runtime() {
    assert!(
        tokio::runtime::Handle::try_current().is_err(),
        "a test that is not async runs inside a runtime"
    );
}

#[ebbtide::test]
async fn an_async_test_without_arguments_has_a_single_threaded_runtime() {
    tokio::task::yield_now().await;
    assert_eq!(
        tokio::runtime::Handle::current().runtime_flavor(),
        tokio::runtime::RuntimeFlavor::CurrentThread
    );
}

#[ebbtide::test]
async fn a_pool_commits_for_real(pool: PgPool) {
    assert_new(&pool).await;
    assert_eq!(pool.options().get_max_connections(), 5);
    let (mut one, mut other) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    assert_ne!(session(&mut *one).await, session(&mut *other).await);
    let mut transaction = one.begin().await.unwrap();
    assert_eq!(add(&mut *transaction, "Laura").await, 1);
    assert_eq!(
        customers(&mut *other).await,
        [""; 0],
        "the row is not committed yet"
    );
    transaction.commit().await.unwrap();
    assert_eq!(customers(&mut *other).await, ["Laura"]);
}

#[ebbtide::test]
async fn a_connection_commits_for_real(mut connection: PoolConnection<Postgres>) {
    assert_eq!(customers(&mut *connection).await, [""; 0]);
    let mut transaction = connection.begin().await.unwrap();
    assert_eq!(add(&mut *transaction, "Laura").await, 1);
    transaction.commit().await.unwrap();
    assert!(!connection.is_in_transaction());
    assert_eq!(customers(&mut *connection).await, ["Laura"]);
}

#[ebbtide::test]
async fn options_make_a_pool(pool_options: PgPoolOptions, connect_options: PgConnectOptions) {
    assert_eq!(pool_options.get_max_connections(), 5);
    let pool = pool_options.connect_with(connect_options).await.unwrap();
    assert_new(&pool).await;
    let mut held = pool.acquire().await.unwrap();
    assert_eq!(add(&mut *held, "Laura").await, 1);
    assert_eq!(customers(&pool).await, ["Laura"], "another session sees it");
    // As in sqlx's examples, the test closes neither the connection nor the pool.
}

#[ebbtide::test]
async fn connect_options_make_a_connection(connect_options: PgConnectOptions) {
    let mut one = PgConnection::connect_with(&connect_options).await.unwrap();
    let mut other = PgConnection::connect_with(&connect_options).await.unwrap();
    assert_eq!(customers(&mut one).await, [""; 0]);
    assert_eq!(add(&mut one, "Laura").await, 1);
    assert_eq!(customers(&mut other).await, ["Laura"]);
    one.close().await.unwrap();
}

#[ebbtide::test]
async fn all_arguments_of_a_test_use_one_database(
    pool: PgPool,
    mut connection: PoolConnection<Postgres>,
    pool_options: PgPoolOptions,
    connect_options: PgConnectOptions,
    same: PgPool,
) {
    assert_eq!(add(&mut *connection, "Laura").await, 1);
    assert_eq!(customers(&pool).await, ["Laura"]);
    assert_eq!(customers(&same).await, ["Laura"]);
    let another = pool_options
        .max_connections(1)
        .connect_with(connect_options)
        .await
        .unwrap();
    assert_eq!(customers(&another).await, ["Laura"]);
}

#[test]
fn the_next_test_does_not_see_committed_changes() {
    #[ebbtide::test]
    async fn pool(pool: PgPool) {
        assert_new(&pool).await;
        assert_eq!(add(&pool, "Laura").await, 1);
        sqlx::query("delete from services")
            .execute(&pool)
            .await
            .unwrap();
        sqlx::query("create table ships (name text)")
            .execute(&pool)
            .await
            .unwrap();
    }
    #[ebbtide::test]
    async fn connection(mut connection: PoolConnection<Postgres>) {
        assert_eq!(add(&mut *connection, "Laura").await, 1);
        sqlx::query("update services set name = upper(name)")
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    #[ebbtide::test]
    async fn options(connect_options: PgConnectOptions) {
        let mut connection = PgConnection::connect_with(&connect_options).await.unwrap();
        assert_eq!(add(&mut connection, "Laura").await, 1);
        sqlx::query("drop table services")
            .execute(&mut connection)
            .await
            .unwrap();
    }
    // Sequentially, so that each test can get the database of the previous one.
    for test in [pool, connection, options, pool] {
        test();
        nothing_is_left();
    }
}

#[ebbtide::test]
async fn sessions_have_the_tests_name(
    pool: PgPool,
    tx: ebbtide::Tx,
    sandbox: ebbtide::Sandbox,
    database: ebbtide::Database,
) {
    let name = "select current_setting('application_name')";
    let mut tx = tx;
    let names: Vec<String> = vec![
        sqlx::query_scalar(name).fetch_one(&pool).await.unwrap(),
        sqlx::query_scalar(name).fetch_one(&mut *tx).await.unwrap(),
        sqlx::query_scalar(name).fetch_one(&*sandbox).await.unwrap(),
        sqlx::query_scalar(name)
            .fetch_one(&database.pool())
            .await
            .unwrap(),
    ];
    assert_eq!(names, ["sqlx_forms::sessions_have_the_tests_name"; 4]);
}
