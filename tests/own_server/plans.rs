//! Many tests at once that have databases of several plans, on servers with few connections.
//!
//! A test process reads one `ebbtide.toml`, so each of these tests runs its parts in child
//! processes with a file of their own.

use std::process::{Child, Command, Stdio};

use crate::support::child_process::{assert_passed, child_role, test_command_as};
use crate::support::{Scratch, current_thread_runtime, runs_natively, this_test};
use ebbtide::{Database, ErrorKind, Harness, Sandbox, Tx};
use sqlx::PgExecutor;

const TESTS: usize = 200;
const PROCESSES: usize = 24;

/// A package with two plans on one server and a third on another, with so many connections each.
/// PostgreSQL reserves three of them for superusers.
fn project(connections: usize) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("shop/1_orders.sql", "create table orders (id int);");
    scratch.write("audit/1_events.sql", "create table events (id int);");
    let state_dir = scratch.state_dir();
    let state_dir = state_dir.display();
    scratch.write(
        "ebbtide.toml",
        &format!(
            "[server]
             state_dir = '{state_dir}'
             linger = '1s'
             settings = {{ max_connections = {connections} }}
             [provision]
             migrations = 'shop'
             seeds = false
             [plan.audit.provision]
             migrations = 'audit'
             [plan.elsewhere.server]
             settings = {{ work_mem = '5MB' }}
             [plan.elsewhere.provision]
             migrations = 'audit'"
        ),
    );
    scratch
}

/// Starts this test in a child process, on the scratch directory's configuration.
fn spawn(scratch: &Scratch, role: &str, test: &str) -> Child {
    on(scratch, test_command_as(role, test)).spawn().unwrap()
}

fn on(scratch: &Scratch, mut command: Command) -> Command {
    command
        .env("EBBTIDE_CONFIG", scratch.path("ebbtide.toml"))
        .env("EBBTIDE_BACKEND", "native")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn assert_all_pass(children: Vec<Child>) {
    for child in children {
        assert_passed(&child.wait_with_output().unwrap());
    }
}

/// Runs a test so many times at once, each on its own thread.
fn at_once(count: usize, test: impl Fn(usize) + Sync) {
    let test = &test;
    std::thread::scope(|scope| {
        for number in 0..count {
            scope.spawn(move || test(number));
        }
    });
}

/// Asserts that the database is new, and writes to it.
async fn use_alone<'e, E: PgExecutor<'e> + Copy>(database: E, table: &str) {
    let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
    let found: i64 = sqlx::query_scalar(count).fetch_one(database).await.unwrap();
    assert_eq!(found, 0, "rows of another test");
    let insert = sqlx::AssertSqlSafe(format!("insert into {table} values (1)"));
    sqlx::query(insert).execute(database).await.unwrap();
}

/// Tests that the runner of this binary must not find, because they need the file of a child.
struct Subjects {
    shop_and_audit: fn(),
    audit_and_shop: fn(),
    two_servers: fn(),
    all_plans: fn(),
}

fn subjects() -> Subjects {
    #[ebbtide::test]
    async fn shop_and_audit(shop: Database, #[plan("audit")] audit: Database) {
        use_alone(&shop.pool(), "orders").await;
        use_alone(&audit.pool(), "events").await;
    }

    #[ebbtide::test]
    async fn audit_and_shop(#[plan("audit")] audit: Database, shop: Sandbox) {
        use_alone(&*shop, "orders").await;
        use_alone(&audit.pool(), "events").await;
    }

    #[ebbtide::test]
    async fn two_servers(shop: Database, #[plan("elsewhere")] elsewhere: Database) {
        use_alone(&shop.pool(), "orders").await;
        use_alone(&elsewhere.pool(), "events").await;
    }

    #[ebbtide::test]
    async fn all_plans(
        #[plan("elsewhere")] elsewhere: Database,
        #[plan("audit")] mut audit: Tx,
        shop: Database,
    ) {
        use_alone(&elsewhere.pool(), "events").await;
        use_alone(&shop.pool(), "orders").await;
        sqlx::query("insert into events values (1)")
            .execute(&mut *audit)
            .await
            .unwrap();
    }
    Subjects {
        shop_and_audit,
        audit_and_shop,
        two_servers,
        all_plans,
    }
}

/// When the server of a harness started, which distinguishes servers.
async fn server(harness: &Harness) -> String {
    let mut tx = harness.tx().await.unwrap();
    let started = sqlx::query_scalar("select pg_postmaster_start_time()::text")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    tx.close().await.unwrap();
    started
}

#[test]
fn two_hundred_tests_of_two_plans_share_one_server_with_few_connections() {
    if child_role().is_some() {
        let Subjects {
            shop_and_audit,
            audit_and_shop,
            ..
        } = subjects();
        at_once(TESTS, |number| match number % 2 {
            0 => shop_and_audit(),
            _ => audit_and_shop(),
        });
        return current_thread_runtime().block_on(async {
            let [shop, audit, elsewhere] = [None, Some("audit"), Some("elsewhere")]
                .map(|plan| plan.map_or_else(Harness::shared, Harness::named).unwrap());
            let shared = server(&shop).await;
            assert_eq!(server(&audit).await, shared);
            assert_ne!(server(&elsewhere).await, shared);
        });
    }
    let test = this_test!();
    if !runs_natively(test) {
        return;
    }
    // Two databases need twelve of thirteen connections, and more than the seven.
    for connections in [16, 10] {
        let scratch = project(connections);
        assert_all_pass(vec![spawn(&scratch, "crowd", test)]);
    }
}

#[test]
fn tests_that_need_two_servers_in_any_order_do_not_wait_for_each_other_for_ever() {
    if child_role().is_some() {
        let Subjects {
            shop_and_audit,
            two_servers,
            all_plans,
            ..
        } = subjects();
        return at_once(TESTS, |number| match number % 3 {
            0 => two_servers(),
            1 => all_plans(),
            _ => shop_and_audit(),
        });
    }
    let test = this_test!();
    if !runs_natively(test) {
        return;
    }
    let scratch = project(16);
    assert_all_pass(vec![spawn(&scratch, "crowd", test)]);
}

#[test]
fn processes_whose_tests_need_several_plans_take_turns() {
    if let Some(role) = child_role() {
        let Subjects {
            shop_and_audit,
            audit_and_shop,
            two_servers,
            all_plans,
        } = subjects();
        let number: usize = role.parse().unwrap();
        return [shop_and_audit, audit_and_shop, two_servers, all_plans][number % 4]();
    }
    let test = this_test!();
    if !runs_natively(test) {
        return;
    }
    let scratch = project(16);
    let children = (0..PROCESSES).map(|number| spawn(&scratch, &number.to_string(), test));
    assert_all_pass(children.collect());
}

#[test]
fn a_test_that_opens_the_databases_of_two_plans_in_its_body_gets_an_error_when_no_test_can_end() {
    if child_role().is_some() {
        return current_thread_runtime().block_on(async {
            let shop = Harness::shared().unwrap().database().await.unwrap();
            let audit = Harness::named("audit").unwrap();
            let error = audit.database().await.expect_err("seven connections");
            assert_eq!(error.kind(), ErrorKind::OutOfConnections, "{error:?}");
            shop.close().await.unwrap();
            audit.database().await.unwrap().close().await.unwrap();
        });
    }
    let test = this_test!();
    if !runs_natively(test) {
        return;
    }
    let scratch = project(10);
    assert_all_pass(vec![spawn(&scratch, "body", test)]);
}

#[test]
fn two_tests_that_have_one_server_each_and_open_the_other_in_their_bodies_do_not_wait_for_ever() {
    if child_role().is_some() {
        let both_have_one = std::sync::Barrier::new(2);
        let open_in_order = |plans: [Option<&str>; 2]| {
            current_thread_runtime().block_on(async {
                let [first, second] =
                    plans.map(|plan| plan.map_or_else(Harness::shared, Harness::named).unwrap());
                let held = first.database().await.unwrap();
                both_have_one.wait();
                let outcome = second.database().await;
                held.close().await.unwrap();
                let database = match outcome {
                    Ok(database) => database,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::OutOfConnections, "{error:?}");
                        return true;
                    }
                };
                database.close().await.unwrap();
                false
            })
        };
        // A test is known by the name of its thread.
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        return std::thread::scope(|scope| {
            let shop_first = || open_in_order([None, Some("elsewhere")]);
            let shop_last = || open_in_order([Some("elsewhere"), None]);
            let one = thread("one").spawn_scoped(scope, shop_first).unwrap();
            let other = thread("other").spawn_scoped(scope, shop_last).unwrap();
            assert!(one.join().unwrap() | other.join().unwrap());
        });
    }
    let test = this_test!();
    if !runs_natively(test) {
        return;
    }
    let scratch = project(10);
    assert_all_pass(vec![spawn(&scratch, "bodies", test)]);
}

#[test]
fn a_plan_whose_migrations_create_a_role_has_a_server_of_its_own() {
    #[ebbtide::test]
    async fn subject(#[plan("roles")] mut roles: Tx, mut shop: Tx) {
        let count = "select count(*) from pg_roles where rolname = 'clerk'";
        for (tx, expected) in [(&mut roles, 1), (&mut shop, 0)] {
            let clerks: i64 = sqlx::query_scalar(count)
                .fetch_one(&mut **tx)
                .await
                .unwrap();
            assert_eq!(clerks, expected);
        }
        let report = Harness::named("roles").unwrap().start().await.unwrap();
        assert!(report.reason.contains("dedicated"), "{report:?}");
        let shared = Harness::shared().unwrap().start().await.unwrap();
        assert!(!shared.reason.contains("dedicated"), "{shared:?}");
    }
    if child_role().is_some() {
        return subject();
    }
    let test = this_test!();
    if !runs_natively(test) {
        return;
    }
    let scratch = project(16);
    scratch.write(
        "roles/1_clerk.sql",
        "create role clerk; create table desks (id int);",
    );
    let file = std::fs::read_to_string(scratch.path("ebbtide.toml")).unwrap();
    let file = format!("{file}\n[plan.roles.provision]\nmigrations = 'roles'\n");
    scratch.write("ebbtide.toml", &file);
    assert_all_pass(vec![spawn(&scratch, "roles", test)]);
}
