//! Argument types that `#[sqlx::test]` does not have: `Tx`, `Sandbox`, `Database` and users' types;
//! and what a test opens in its body.

use ebbtide::{Database, Result, Sandbox, TestArg, TestContext, Tx};
use sqlx::postgres::PgPool;

use crate::support::{add, customers, nothing_is_left, order_of_missing_customer, panic_message};

#[ebbtide::test(fixtures("laura"))]
async fn a_tx_commits_a_nested_transaction(mut tx: Tx) {
    let mut inner = tx.begin().await.unwrap();
    add(&mut *inner, "Marta").await;
    inner.commit().await.unwrap();
    assert_eq!(customers(&mut *tx).await, ["Laura", "Marta"]);
}

#[ebbtide::test(fixtures("laura"))]
async fn a_sandbox_commits_a_transaction(sandbox: Sandbox) {
    let mut transaction = sandbox.begin().await.unwrap();
    add(&mut *transaction, "Marta").await;
    transaction.commit().await.unwrap();
    assert_eq!(customers(&*sandbox).await, ["Laura", "Marta"]);
}

#[ebbtide::test(fixtures("laura"))]
async fn the_pools_of_a_database_share_their_data(database: Database) {
    let (pool, same) = (database.pool(), database.pool());
    let mut held = pool.acquire().await.unwrap();
    add(&mut *held, "Marta").await;
    assert_eq!(customers(&same).await, ["Laura", "Marta"]);
}

#[ebbtide::test(fixtures("laura"))]
async fn two_databases_and_a_pool_are_three_databases(
    one: Database,
    other: Database,
    pool: PgPool,
) {
    let third: String = sqlx::query_scalar("select current_database()::text")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(one.name() != other.name() && one.name() != third && other.name() != third);
    add(&one.pool(), "Marta").await;
    assert_eq!(customers(&one.pool()).await, ["Laura", "Marta"]);
    assert_eq!(customers(&other.pool()).await, ["Laura"]);
    assert_eq!(customers(&pool).await, ["Laura"]);
}

#[ebbtide::test(fixtures("laura"))]
async fn two_tx_and_a_database_do_not_see_each_other(
    mut tx: Tx,
    database: Database,
    mut another: Tx,
) {
    add(&mut *tx, "Marta").await;
    add(&database.pool(), "Olga").await;
    assert_eq!(customers(&mut *tx).await, ["Laura", "Marta"]);
    assert_eq!(customers(&database.pool()).await, ["Laura", "Olga"]);
    assert_eq!(customers(&mut *another).await, ["Laura"]);
}

#[test]
fn no_kind_of_argument_leaves_anything_behind() {
    #[ebbtide::test]
    async fn everything(mut tx: Tx, sandbox: Sandbox, database: Database, pool: PgPool) {
        assert_eq!(add(&mut *tx, "Laura").await, 1);
        assert_eq!(add(&*sandbox, "Laura").await, 1);
        assert_eq!(add(&database.pool(), "Laura").await, 1);
        assert_eq!(add(&pool, "Laura").await, 1);
    }
    for _ in 0..3 {
        everything();
        nothing_is_left();
    }
}

#[test]
fn a_database_has_its_initial_state_after_a_rolled_back_transaction() {
    #[ebbtide::test]
    async fn in_a_transaction(mut tx: Tx) {
        assert_eq!(add(&mut *tx, "Laura").await, 1);
    }
    #[ebbtide::test]
    async fn in_a_sandbox(sandbox: Sandbox) {
        assert_eq!(add(&*sandbox, "Laura").await, 1);
    }
    #[ebbtide::test]
    async fn in_a_database(database: Database) {
        assert_eq!(
            add(&database.pool(), "Laura").await,
            1,
            "a rollback does not reset an identity, so ebbtide must"
        );
    }
    for _ in 0..3 {
        in_a_transaction();
        in_a_database();
        in_a_sandbox();
        in_a_database();
    }
}

/// A user's argument type that is made from ebbtide's.
struct AppState {
    pool: PgPool,
    sandbox: Sandbox,
    test: String,
}

impl TestArg for AppState {
    async fn from_test(context: &TestContext) -> Result<Self> {
        let state = Self {
            pool: PgPool::from_test(context).await?,
            sandbox: context.sandbox().await?,
            test: context.test_name().to_owned(),
        };
        add(&state.pool, "of the application").await;
        Ok(state)
    }
}

#[ebbtide::test(fixtures("laura"))]
async fn a_users_argument_type_shares_the_tests_pool(
    AppState {
        pool,
        sandbox,
        test,
    }: AppState,
    same: PgPool,
) {
    assert_eq!(
        test,
        "arguments::a_users_argument_type_shares_the_tests_pool"
    );
    assert_eq!(customers(&pool).await, ["Laura", "of the application"]);
    assert_eq!(customers(&same).await, ["Laura", "of the application"]);
    assert_eq!(customers(&*sandbox).await, ["Laura"]);
}

/// An argument that fails after it has opened and used a database.
struct Failing;

impl TestArg for Failing {
    async fn from_test(context: &TestContext) -> Result<Self> {
        let database = context.database().await?;
        add(&database.pool(), "Laura").await;
        sqlx::query("select * from nowhere")
            .execute(&database.pool())
            .await?;
        Ok(Self)
    }
}

#[test]
fn a_failed_statement_of_a_users_argument_is_reported() {
    #[ebbtide::test]
    async fn subject(_: PgPool, _: Failing) {
        unreachable!("the argument could not be made");
    }
    let message = panic_message(subject);
    assert!(
        message.starts_with("the test has not begun: relation \"nowhere\" does not exist\n"),
        "{message}"
    );
    nothing_is_left();
}

/// An argument that fails with a user's error.
struct Keyless;

impl TestArg for Keyless {
    async fn from_test(_: &TestContext) -> Result<Self> {
        Err(ebbtide::Error::other("there is no key"))
    }
}

#[test]
fn a_users_error_in_an_argument_is_reported() {
    #[ebbtide::test]
    async fn subject(_: PgPool, _: Keyless) {
        unreachable!("the argument could not be made");
    }
    let message = panic_message(subject);
    let expected =
        "the test has not begun: the test's own code failed\n  caused by: there is no key";
    assert!(message.starts_with(expected), "{message}");
    nothing_is_left();
}

#[ebbtide::test(fixtures("laura"))]
async fn what_a_test_opens_in_its_body_has_the_tests_fixtures(mut argument: Tx) {
    let mut tx = ebbtide::tx().await.unwrap();
    assert_eq!(customers(&mut *tx).await, ["Laura"]);
    add(&mut *tx, "Marta").await;
    tx.close().await.unwrap();
    let sandbox = ebbtide::sandbox().await.unwrap();
    assert_eq!(customers(&*sandbox).await, ["Laura"]);
    let database = ebbtide::database().await.unwrap();
    assert_eq!(customers(&database.pool()).await, ["Laura"]);
    assert_eq!(customers(&mut *argument).await, ["Laura"]);
    // The end of the test closes the ones that are still open.
}

#[ebbtide::test(migrations = "other/migrations", fixtures("nautilus"))]
async fn what_a_test_opens_in_its_body_has_the_tests_migrations() {
    let mut tx = ebbtide::tx().await.unwrap();
    assert_eq!(crate::support::tables(&mut *tx).await, ["ships"]);
}

#[test]
fn deferred_constraints_are_checked_in_what_a_test_opens_in_its_body() {
    #[ebbtide::test]
    async fn with_tx() {
        order_of_missing_customer(&mut *ebbtide::tx().await.unwrap()).await;
    }
    #[ebbtide::test]
    async fn with_sandbox() {
        order_of_missing_customer(&*ebbtide::sandbox().await.unwrap()).await;
    }
    for (test, name) in [(with_tx as fn(), "with_tx"), (with_sandbox, "with_sandbox")] {
        let message = panic_message(test);
        let beginning = format!(
            "the deferred constraint orders_customer_fkey does not hold at the end of test arguments::{name}\n"
        );
        assert!(message.starts_with(&beginning), "{message}");
        nothing_is_left();
    }
}
