//! What a test may ask for beyond sqlx's own types.

use ebbtide::{Database, Result, Sandbox, TestArg, TestContext, Tx};
use sqlx::postgres::PgPool;

use crate::support::{add, complaint, customers, nothing_is_left, order_for_nobody};

#[ebbtide::test(fixtures("laura"))]
async fn a_transaction(mut tx: Tx) {
    let mut inner = tx.begin().await.unwrap();
    add(&mut *inner, "Marta").await;
    inner.commit().await.unwrap();
    assert_eq!(customers(&mut *tx).await, ["Laura", "Marta"]);
}

#[ebbtide::test(fixtures("laura"))]
async fn a_sandbox(sandbox: Sandbox) {
    let mut transaction = sandbox.begin().await.unwrap();
    add(&mut *transaction, "Marta").await;
    transaction.commit().await.unwrap();
    assert_eq!(customers(&*sandbox).await, ["Laura", "Marta"]);
}

#[ebbtide::test(fixtures("laura"))]
async fn a_database(database: Database) {
    let (pool, same) = (database.pool(), database.pool());
    let mut held = pool.acquire().await.unwrap();
    add(&mut *held, "Marta").await;
    assert_eq!(customers(&same).await, ["Laura", "Marta"]);
}

#[ebbtide::test(fixtures("laura"))]
async fn two_databases(one: Database, other: Database, pool: PgPool) {
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
async fn a_transaction_and_a_database(mut tx: Tx, database: Database, mut another: Tx) {
    add(&mut *tx, "Marta").await;
    add(&database.pool(), "Olga").await;
    assert_eq!(customers(&mut *tx).await, ["Laura", "Marta"]);
    assert_eq!(customers(&database.pool()).await, ["Laura", "Olga"]);
    assert_eq!(customers(&mut *another).await, ["Laura"]);
}

#[test]
fn nothing_is_left_of_any_of_them() {
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
fn a_database_begins_anew_after_a_transaction() {
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
            "a rollback has left the identity where it was"
        );
    }
    for _ in 0..3 {
        in_a_transaction();
        in_a_database();
        in_a_sandbox();
        in_a_database();
    }
}

/// A user's own argument, on top of ebbtide's.
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
        add(&state.pool, "the application's own").await;
        Ok(state)
    }
}

#[ebbtide::test(fixtures("laura"))]
async fn a_users_own_argument(
    AppState {
        pool,
        sandbox,
        test,
    }: AppState,
    same: PgPool,
) {
    assert_eq!(test, "arguments::a_users_own_argument");
    assert_eq!(customers(&pool).await, ["Laura", "the application's own"]);
    assert_eq!(customers(&same).await, ["Laura", "the application's own"]);
    assert_eq!(customers(&*sandbox).await, ["Laura"]);
}

/// One that cannot be made, after something was lent.
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
fn a_users_own_argument_may_fail() {
    #[ebbtide::test]
    async fn subject(_: PgPool, _: Failing) {
        unreachable!("there is no such argument");
    }
    let said = complaint(subject);
    assert!(
        said.starts_with("the test has not begun: relation \"nowhere\" does not exist\n"),
        "{said}"
    );
    nothing_is_left();
}

/// One whose trouble is its own.
struct Keyless;

impl TestArg for Keyless {
    async fn from_test(_: &TestContext) -> Result<Self> {
        Err(ebbtide::Error::other("there is no key"))
    }
}

#[test]
fn a_users_own_argument_may_fail_for_a_reason_of_its_own() {
    #[ebbtide::test]
    async fn subject(_: PgPool, _: Keyless) {
        unreachable!("there is no such argument");
    }
    let said = complaint(subject);
    let told =
        "the test has not begun: something of the test's own failed\n  caused by: there is no key";
    assert!(said.starts_with(told), "{said}");
    nothing_is_left();
}

#[ebbtide::test(fixtures("laura"))]
async fn what_is_asked_for_in_the_middle_has_the_tests_fixtures(mut argument: Tx) {
    let mut tx = ebbtide::tx().await.unwrap();
    assert_eq!(customers(&mut *tx).await, ["Laura"]);
    add(&mut *tx, "Marta").await;
    tx.close().await.unwrap();
    let sandbox = ebbtide::sandbox().await.unwrap();
    assert_eq!(customers(&*sandbox).await, ["Laura"]);
    let database = ebbtide::database().await.unwrap();
    assert_eq!(customers(&database.pool()).await, ["Laura"]);
    assert_eq!(customers(&mut *argument).await, ["Laura"]);
    // Those that are not closed are closed with the test.
}

#[ebbtide::test(migrations = "other/migrations", fixtures("nautilus"))]
async fn what_is_asked_for_in_the_middle_has_the_tests_migrations() {
    let mut tx = ebbtide::tx().await.unwrap();
    assert_eq!(crate::support::tables(&mut *tx).await, ["ships"]);
}

#[test]
fn a_deferred_constraint_is_checked_in_what_was_asked_for_in_the_middle() {
    #[ebbtide::test]
    async fn with_tx() {
        order_for_nobody(&mut *ebbtide::tx().await.unwrap()).await;
    }
    #[ebbtide::test]
    async fn with_sandbox() {
        order_for_nobody(&*ebbtide::sandbox().await.unwrap()).await;
    }
    for (test, name) in [(with_tx as fn(), "with_tx"), (with_sandbox, "with_sandbox")] {
        let said = complaint(test);
        let beginning = format!(
            "the deferred constraint orders_customer_fkey does not hold at the end of test arguments::{name}\n"
        );
        assert!(said.starts_with(&beginning), "{said}");
        nothing_is_left();
    }
}
