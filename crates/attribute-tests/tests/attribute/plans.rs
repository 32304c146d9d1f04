//! `#[plan("audit")]` before an argument: databases of several plans in one test.

use ebbtide::{Database, Harness, Result, Sandbox, TestArg, TestContext, Tx};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection as _, PgExecutor, Postgres};

use crate::child_process::{run_in_child, run_in_child_with, this_test};
use crate::support::{add, customers, panic_message, tables};

/// Records an event and returns its id. The first one in a new database has the id 1.
async fn record<'e>(database: impl PgExecutor<'e>, what: &str) -> i64 {
    sqlx::query_scalar("insert into events (what) values ($1) returning id")
        .bind(what)
        .fetch_one(database)
        .await
        .unwrap()
}

async fn events<'e>(database: impl PgExecutor<'e>) -> Vec<String> {
    sqlx::query_scalar("select what from events order by id")
        .fetch_all(database)
        .await
        .unwrap()
}

async fn setting(database: &mut PgConnection, name: &str) -> String {
    sqlx::query_scalar("select current_setting($1)")
        .bind(name)
        .fetch_one(database)
        .await
        .unwrap()
}

/// When the server started. Two servers of one test run do not start in the same microsecond.
async fn server(database: &mut PgConnection) -> String {
    sqlx::query_scalar("select pg_postmaster_start_time()::text")
        .fetch_one(database)
        .await
        .unwrap()
}

#[ebbtide::test(fixtures("laura"))]
async fn two_plans_have_databases_of_their_own_on_one_server(
    mut shop: Tx,
    #[plan("audit")] mut audit: Tx,
) {
    assert_eq!(customers(&mut *shop).await, ["Laura"]);
    assert_eq!(tables(&mut *audit).await, ["events"]);
    assert_eq!(record(&mut *audit, "a sale").await, 1);
    assert_eq!(add(&mut *shop, "Marta").await, 2);
    assert_eq!(server(&mut shop).await, server(&mut audit).await);
}

#[ebbtide::test]
async fn a_plan_with_other_settings_has_a_server_of_its_own(
    #[plan("elsewhere")] mut elsewhere: Tx,
    #[plan("audit")] mut audit: Tx,
) {
    assert_eq!(setting(&mut elsewhere, "timezone").await, "Europe/Lisbon");
    assert_ne!(setting(&mut audit, "timezone").await, "Europe/Lisbon");
    assert_eq!(record(&mut *elsewhere, "a sale").await, 1);
    assert_eq!(record(&mut *audit, "a sale").await, 1);
    let backend = Harness::named("elsewhere").unwrap().start().await.unwrap();
    let shares = backend.backend == ebbtide::config::Backend::External;
    let same = server(&mut elsewhere).await == server(&mut audit).await;
    assert_eq!(same, shares, "{backend:?}");
}

#[test]
fn every_argument_type_belongs_to_its_plan_and_leaves_nothing_behind() {
    #[ebbtide::test]
    #[expect(clippy::too_many_arguments, reason = "every type")]
    async fn subject(
        #[plan("audit")] mut tx: Tx,
        shop: PgPool,
        #[plan("audit")] sandbox: Sandbox,
        #[plan("audit")] database: Database,
        #[plan("audit")] pool: PgPool,
        #[plan("audit")] mut connection: PoolConnection<Postgres>,
        #[plan("audit")] options: PgConnectOptions,
        #[plan("audit")] pool_options: PgPoolOptions,
    ) {
        assert_eq!(record(&mut *tx, "of tx").await, 1);
        assert_eq!(record(&*sandbox, "of sandbox").await, 1);
        assert_eq!(record(&database.pool(), "of database").await, 1);
        // The arguments of sqlx's types have one database of the plan together.
        assert_eq!(record(&pool, "of pool").await, 1);
        assert_eq!(events(&mut *connection).await, ["of pool"]);
        let another = pool_options.connect_with(options).await.unwrap();
        assert_eq!(events(&another).await, ["of pool"]);
        another.close().await;
        // And those of the default plan another one.
        assert_eq!(customers(&shop).await, [""; 0]);
        assert_eq!(add(&shop, "Laura").await, 1);
    }
    for _ in 0..3 {
        subject();
    }
}

#[ebbtide::test]
async fn two_databases_of_one_plan_are_two_databases(
    #[plan("audit")] one: Database,
    #[plan("audit")] other: Database,
) {
    record(&one.pool(), "here").await;
    assert_eq!(events(&other.pool()).await, [""; 0]);
    let mut connection = PgConnection::connect(other.url()).await.unwrap();
    record(&mut connection, "there").await;
    connection.close().await.unwrap();
    assert_eq!(events(&one.pool()).await, ["here"]);
}

#[ebbtide::test]
fn a_test_that_is_not_async_has_plans_too(#[plan("audit")] audit: Database, shop: Database) {
    assert_ne!(audit.name(), shop.name());
    let another = ebbtide::blocking::database_of(&Harness::named("audit").unwrap()).unwrap();
    assert_ne!(audit.name(), another.name());
    ebbtide::blocking::close(another).unwrap();
}

/// A user's type that opens databases in each way.
struct Events {
    plan: Option<String>,
    of_context: Tx,
    of_function: Tx,
    shop: Sandbox,
}

impl TestArg for Events {
    async fn from_test(context: &TestContext) -> Result<Self> {
        Ok(Self {
            plan: context.plan().map(str::to_owned),
            of_context: context.tx().await?,
            of_function: ebbtide::tx().await?,
            shop: context.on_plan(None).sandbox().await?,
        })
    }
}

#[ebbtide::test(fixtures("laura"))]
async fn the_context_of_a_users_type_is_that_of_its_plan(#[plan("audit")] argument: Events, _: Tx) {
    let Events {
        plan,
        mut of_context,
        mut of_function,
        shop,
    } = argument;
    assert_eq!(plan.as_deref(), Some("audit"));
    assert_eq!(events(&mut *of_context).await, [""; 0]);
    assert_eq!(events(&mut *of_function).await, [""; 0]);
    assert_eq!(customers(&*shop).await, ["Laura"]);
    // In the body, the functions mean the default plan again.
    let mut tx = ebbtide::tx().await.unwrap();
    assert_eq!(customers(&mut *tx).await, ["Laura"]);
}

#[ebbtide::test(savepoints, isolation_level = "serializable", pool = "sandbox")]
async fn options_about_the_use_apply_to_every_plan(
    #[plan("audit")] mut audit: Tx,
    #[plan("audit")] pool: PgPool,
) {
    let level = setting(&mut audit, "transaction_isolation").await;
    assert_eq!(level, "serializable");
    sqlx::raw_sql("select 1 / 0")
        .execute(&mut *audit)
        .await
        .expect_err("a division by zero");
    // With `savepoints`, the failed statement has undone only itself.
    record(&mut *audit, "after the error").await;
    // In a sandbox, all statements are in one transaction.
    let transaction = "select txid_current()";
    let one: i64 = sqlx::query_scalar(transaction)
        .fetch_one(&pool)
        .await
        .unwrap();
    let other: i64 = sqlx::query_scalar(transaction)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(one, other);
    assert_eq!(events(&pool).await, [""; 0]);
}

#[test]
fn the_report_of_a_failure_has_a_section_for_each_database_with_its_plan() {
    #[ebbtide::test]
    async fn subject(mut shop: Tx, #[plan("audit")] audit: Database) {
        record(&audit.pool(), "twice").await;
        sqlx::query("insert into services (name) values ('cut')")
            .execute(&mut *shop)
            .await
            .expect_err("the seeds have it");
        record(&audit.pool(), "twice").await;
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    let stderr = output.assert_failed().stderr();
    let section = |beginning: &str| {
        let (_, rest) = stderr.split_once(beginning).expect(beginning);
        rest.split("\n  it had").next().unwrap_or(rest).to_owned()
    };
    let (shop, audit) = (
        section("\n  it had a Tx: ebbtide_l_"),
        section("\n  it had a Database of plan audit: ebbtide_l_"),
    );
    assert!(
        shop.contains("services_pkey") && !shop.contains("events_what_key"),
        "{stderr}"
    );
    assert!(
        audit.contains("events_what_key") && !audit.contains("services_pkey"),
        "{stderr}"
    );
}

#[test]
fn a_kept_database_is_reported_with_its_plan() {
    #[ebbtide::test(keep = "failed")]
    async fn subject(_: Tx, #[plan("audit")] audit: Database) {
        record(&audit.pool(), "kept").await;
        panic!("so that it is kept");
    }
    let keep_for_a_moment = [("EBBTIDE_KEEP_FOR", "1s")];
    let Some(output) = run_in_child_with(&keep_for_a_moment, this_test!(), subject) else {
        return;
    };
    output
        .assert_failed()
        .assert_contains("ebbtide: the database of plans::subject is kept for 1s: psql '")
        .assert_contains(
            "ebbtide: the database of plan audit of plans::subject is kept for 1s: psql '",
        );
}

#[test]
fn a_plan_that_the_file_does_not_have_is_reported() {
    #[ebbtide::test]
    async fn subject(_: Tx, #[plan("adit")] _: Database) {
        unreachable!("the argument could not be made");
    }
    let message = panic_message(subject);
    assert!(
        message.starts_with("the test has not begun: ")
            && message.contains("ebbtide.toml has no plan \"adit\"\n")
            && message.contains("did you mean audit? plans of the file: audit, elsewhere"),
        "{message}"
    );
}
