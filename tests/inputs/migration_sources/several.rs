//! Several sources of migrations in one plan, each with its own ledger, and the bootstrap before
//! them.

use std::collections::BTreeMap;

use ebbtide::config::{MigrationCommand, Migrations};
use ebbtide::{ErrorKind, Harness, Setup};
use sqlx::migrate::Migrator;

use crate::support::Scratch;
use crate::support::program::program;
use crate::support::reports::{assert_report_contains, provision_error, provision_report};

const USERS: &str = "create table users (id int primary key, name text not null);\n";
const ORDERS: &str = "create table orders (id int primary key, buyer int references users);\n";

/// The tables with the numbers of their rows.
fn rows(tables: &[(&str, u64)]) -> BTreeMap<String, u64> {
    let tables = tables.iter();
    tables
        .map(|(table, rows)| ((*table).to_owned(), *rows))
        .collect()
}

/// A harness with this text in `ebbtide.toml`.
fn harness(scratch: &Scratch, provision: &str) -> Harness {
    let toml = scratch.write("ebbtide.toml", &format!("[provision]\n{provision}\n"));
    let builder = Harness::builder().config_file(toml).without_seeds();
    builder.build().unwrap()
}

#[tokio::test]
async fn sources_of_different_tools_run_in_the_order_of_the_list() {
    let scratch = Scratch::new();
    scratch.write("platform/V1__users.sql", USERS);
    // The versions are lower than the platform's: the order of the list counts.
    scratch.write("app/0_orders.sql", ORDERS);
    scratch.write("app/1_refunds.sql", "create table refunds (id int);\n");
    scratch.write("plain/z.sql", "insert into users values (1, 'Laura');\n");
    let harness = harness(
        &scratch,
        "migrations = ['platform', { sqlx = 'app' }, { sql = 'plain' }]",
    );
    let report = harness.provision().await.unwrap().provisioned;
    let versions: Vec<_> = report
        .migrations
        .iter()
        .map(|it| it.version.clone().unwrap())
        .collect();
    assert_eq!(versions, ["1", "0", "1", "z.sql"]);
    assert_eq!(
        report.rows,
        rows(&[("orders", 0), ("refunds", 0), ("users", 1)])
    );

    // sqlx itself finds nothing pending in its ledger.
    let database = harness.database().await.unwrap();
    let migrator = Migrator::new(scratch.path("app").as_path()).await.unwrap();
    migrator.run(&database.pool()).await.unwrap();
    let applied: i64 = sqlx::query_scalar("select count(*) from refinery_schema_history")
        .fetch_one(&database.pool())
        .await
        .unwrap();
    assert_eq!(applied, 1);
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_command_and_a_directory_can_be_mixed_in_the_builder_and_in_a_setup() {
    let scratch = Scratch::new();
    let users = scratch.write("users.sql", USERS);
    scratch.write("app/1_orders.sql", ORDERS);
    let psql = program("psql").display().to_string();
    let command = MigrationCommand::new([&psql, "-qXf", &users.display().to_string()]);
    let several = Migrations::from([
        Migrations::from(command.input(users)),
        scratch.path("app").into(),
    ]);
    let report = provision_report(scratch.builder().migrations(several.clone())).await;
    assert_eq!(report.rows, rows(&[("orders", 0), ("users", 0)]));
    assert_eq!(report.migrations.len(), 2);

    let harness = scratch.builder().build().unwrap();
    let mut tx = harness
        .with_setup(Setup::new().migrations(several))
        .tx()
        .await
        .unwrap();
    sqlx::query("select buyer from orders")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.close().await.unwrap();
}

#[tokio::test]
async fn two_directories_with_one_ledger_are_refused_unless_sqlx_toml_names_another() {
    let scratch = Scratch::new();
    scratch.write("platform/1_users.sql", USERS);
    scratch.write("app/migrations/1_orders.sql", ORDERS);
    let build = async || {
        let harness = harness(&scratch, "migrations = ['platform', 'app/migrations']");
        harness.provision().await
    };
    let texts = ["must not share a ledger", "/platform and ", "table-name"];
    let error = build().await.unwrap_err();
    assert_report_contains(&error, ErrorKind::MigrationSource, &texts);

    // The second directory belongs to a package with a sqlx.toml of its own.
    scratch.write("app/Cargo.toml", "[package]\nname = 'app'\n");
    scratch.write(
        "app/sqlx.toml",
        "[migrate]\ntable-name = 'app_migrations'\n",
    );
    let report = build().await.unwrap().provisioned;
    assert_eq!(report.rows, rows(&[("orders", 0), ("users", 0)]));

    scratch.write("one/V1__users.sql", USERS);
    scratch.write("two/V2__notes.sql", "create table notes (id int);\n");
    let harness = harness(&scratch, "migrations = ['one', 'two']");
    let error = harness.provision().await.unwrap_err();
    let texts = [
        "two directories of refinery migrations",
        "Migrations::function",
    ];
    assert_report_contains(&error, ErrorKind::MigrationSource, &texts);
}

#[tokio::test]
async fn every_source_starts_with_a_new_session() {
    let scratch = Scratch::new();
    scratch.write(
        "platform/1_users.sql",
        &format!("{USERS} create schema other; set search_path = other, public;"),
    );
    scratch.write("app/V1__orders.sql", ORDERS);
    let harness = harness(&scratch, "migrations = ['platform', 'app']");
    let report = harness.provision().await.unwrap().provisioned;
    assert_eq!(report.rows, rows(&[("orders", 0), ("users", 0)]));
}

#[tokio::test]
async fn an_error_in_one_source_names_the_other_source_that_creates_the_table() {
    let scratch = Scratch::new();
    scratch.write("app/1_orders.sql", ORDERS);
    scratch.write("platform/V1__users.sql", USERS);
    let error = harness(&scratch, "migrations = ['app', 'platform']")
        .provision()
        .await
        .unwrap_err();
    let texts = [
        "relation \"users\" does not exist",
        "platform/V1__users.sql:1",
    ];
    assert_report_contains(&error, ErrorKind::Migration, &texts);
}

#[tokio::test]
async fn changing_the_order_of_the_sources_builds_another_template() {
    let scratch = Scratch::new();
    scratch.write("one/1_users.sql", USERS);
    scratch.write("two/V1__notes.sql", "create table notes (id int);\n");
    let fingerprint = async |list: &str| {
        let harness = harness(&scratch, &format!("migrations = {list}"));
        harness.provision().await.unwrap().fingerprint
    };
    let (forth, back) = (
        fingerprint("['one', 'two']").await,
        fingerprint("['two', 'one']").await,
    );
    assert_ne!(forth, back);
    assert_eq!(forth, fingerprint("['one', 'two']").await);
}

#[tokio::test]
async fn a_list_with_a_wrong_item_is_an_error_that_names_the_item() {
    let scratch = Scratch::new();
    scratch.write("app/1_users.sql", USERS);
    for (list, kind, text) in [
        (
            "[]",
            ErrorKind::MigrationSource,
            "must have at least one source",
        ),
        (
            "['app', 7]",
            ErrorKind::Config,
            "provision.migrations[1] must be a directory or a table",
        ),
        (
            "['app', 'absent']",
            ErrorKind::MigrationSource,
            "absent does not",
        ),
        (
            "['app', { disel = 'x' }]",
            ErrorKind::Config,
            "did you mean diesel",
        ),
    ] {
        let toml = scratch.write(
            "ebbtide.toml",
            &format!("[provision]\nmigrations = {list}\n"),
        );
        let error = Harness::builder().config_file(toml).build().unwrap_err();
        assert_report_contains(&error, kind, &[text]);
    }
}

#[tokio::test]
async fn the_bootstrap_runs_after_the_extensions_and_before_the_migrations() {
    let scratch = Scratch::new();
    scratch.write(
        "bootstrap/10_auth.sql",
        "create schema auth; create table auth.users (id int primary key, name text);\n\
         create index on auth.users using gin (name gin_trgm_ops);\n",
    );
    scratch.write(
        "bootstrap/20_admin.sql",
        "insert into auth.users values (1, 'Laura');\n",
    );
    scratch.write(
        "migrations/1_orders.sql",
        "create table orders (buyer int references auth.users);\n",
    );
    let builder = || {
        let builder = scratch.builder().extension("pg_trgm");
        builder.bootstrap(scratch.path("bootstrap"))
    };
    let report = provision_report(builder()).await;
    assert_eq!(report.rows, rows(&[("auth.users", 1), ("orders", 0)]));
    // The bootstrap is not among the migrations, and has a phase of its own.
    assert_eq!(report.migrations.len(), 1);
    let phases: Vec<&str> = report.phases.iter().map(|phase| &*phase.name).collect();
    assert_eq!(phases[..3], ["extensions", "bootstrap", "migrations"]);

    // A changed file of the bootstrap changes the template.
    scratch.write(
        "bootstrap/20_admin.sql",
        "insert into auth.users values (2, 'Marta');\n",
    );
    let harness = builder().build().unwrap();
    assert!(!harness.provision().await.unwrap().reused);
    let other = Setup::new().without_migrations();
    let mut tx = harness.with_setup(other).tx().await.unwrap();
    let ids: Vec<i32> = sqlx::query_scalar("select id from auth.users")
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    assert_eq!(
        ids,
        [2],
        "a setup with other migrations keeps the bootstrap"
    );
    tx.close().await.unwrap();
}

#[tokio::test]
async fn the_tables_of_the_bootstrap_do_not_count_as_migrated() {
    let scratch = Scratch::new();
    scratch.write("bootstrap/1.sql", USERS);
    scratch.write("migrations/1_nothing.sql", "select 1;\n");
    let builder = scratch.builder().bootstrap(scratch.path("bootstrap"));
    let error = provision_error(builder).await;
    let text = "the database has only the tables of the bootstrap";
    assert_report_contains(&error, ErrorKind::NothingMigrated, &[text]);
}

#[tokio::test]
async fn a_bootstrap_without_migrations_and_without_files() {
    let scratch = Scratch::new();
    scratch.write("bootstrap/1.sql", USERS);
    let builder = || scratch.builder().bootstrap(scratch.path("bootstrap"));
    assert_eq!(
        provision_report(builder()).await.rows,
        rows(&[("users", 0)])
    );

    scratch.write(
        "bootstrap/1.sql",
        "create table users (id int references nothing);\n",
    );
    let error = provision_error(builder()).await;
    assert_report_contains(&error, ErrorKind::Migration, &["bootstrap/1.sql:1:1"]);

    std::fs::remove_file(scratch.path("bootstrap/1.sql")).unwrap();
    let error = provision_error(builder()).await;
    let text = "the bootstrap directory must contain a file that ends in .sql";
    assert_report_contains(&error, ErrorKind::MigrationSource, &[text]);
}
