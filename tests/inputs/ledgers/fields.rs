//! Every field of sqlx's `Migrator`: ebbtide applies an embedded migrator as its `run` does.

use std::borrow::Cow;

use ebbtide::{ErrorKind, Harness, Setup};
use sqlx::migrate::{Migration, MigrationType, Migrator, ResolveConfig, ResolveWith};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use super::Beside;
use crate::support::Scratch;
use crate::support::reports::{assert_report_contains, first_claim};

fn migration(version: i64, sql: &'static str, no_tx: bool) -> Migration {
    let description = Cow::Borrowed("a step");
    let sql = AssertSqlSafe(sql).into_sql_str();
    Migration::new(version, description, MigrationType::Simple, sql, no_tx)
}

fn two_tables() -> Migrator {
    Migrator::with_migrations(vec![
        migration(2, "create table users (id int)", false),
        migration(10, "drop table users; create table pets (id int)", false),
    ])
}

/// A harness with the migrator, which lives as long as an embedded one.
fn with(scratch: &Scratch, migrator: Migrator) -> (Harness, &'static Migrator) {
    let migrator: &'static Migrator = Box::leak(Box::new(migrator));
    let harness = scratch.builder().build().unwrap();
    (
        harness.with_setup(Setup::new().migrator(migrator)),
        migrator,
    )
}

/// Asserts that ebbtide makes the same database as the migrator, which finds nothing to apply in
/// ebbtide's.
async fn assert_as_sqlx(migrator: Migrator, ledger: &str) {
    let scratch = Scratch::new();
    let (harness, migrator) = with(&scratch, migrator);
    let beside = Beside::new(&harness, migrator).await;
    beside.assert_equal(ledger).await;
    beside.assert_nothing_pending(migrator).await;
    let health = harness.health().await;
    assert!(health.is_clean(), "{health}");
    let claim = first_claim(&health);
    assert!(claim.table.trim_matches('"').ends_with(ledger), "{claim}");
    assert_eq!(claim.latest.as_deref(), Some("10"));
    let report = harness.provision().await.unwrap().provisioned;
    assert_eq!(report.rows.keys().collect::<Vec<_>>(), ["pets"], "{ledger}");
    beside.close().await;
}

#[tokio::test]
async fn the_ledger_has_the_name_and_the_schema_of_the_migrator() {
    for (name, table) in [
        ("applied", "applied"),
        ("Applied", "applied"),
        (r#""Applied migrations""#, "Applied migrations"),
        ("public.applied", "applied"),
    ] {
        let mut migrator = two_tables();
        migrator.dangerous_set_table_name(name);
        assert_as_sqlx(migrator, table).await;
    }
}

#[tokio::test]
async fn the_schemas_of_the_migrator_are_created_before_the_ledger() {
    let mut migrator = two_tables();
    migrator.create_schema("later");
    migrator.create_schema("\"App\"");
    migrator.dangerous_set_table_name("\"App\"._sqlx_migrations");
    assert_as_sqlx(migrator, "_sqlx_migrations").await;
}

#[tokio::test]
async fn without_the_schema_the_migrators_table_is_refused_as_by_sqlx() {
    let mut migrator = two_tables();
    migrator.dangerous_set_table_name("nowhere.applied");
    let scratch = Scratch::new();
    let (harness, _) = with(&scratch, migrator);
    let error = harness.tx().await.unwrap_err();
    assert_report_contains(&error, ErrorKind::Migration, &["nowhere.applied"]);
}

#[tokio::test]
async fn the_other_fields_change_nothing_of_an_empty_database() {
    for change in [
        (|migrator| migrator.ignore_missing = true) as fn(&mut Migrator),
        |migrator| migrator.locking = false,
        |migrator| migrator.no_tx = true,
    ] {
        let mut migrator = two_tables();
        change(&mut migrator);
        assert_as_sqlx(migrator, "_sqlx_migrations").await;
    }
}

#[tokio::test]
async fn each_migration_has_its_own_transaction_or_none() {
    let index = "create index concurrently pets_id on pets (id)";
    let migrations = vec![
        migration(2, "create table users (id int)", false),
        migration(9, "drop table users; create table pets (id int)", false),
        migration(10, index, true),
    ];
    assert_as_sqlx(Migrator::with_migrations(migrations), "_sqlx_migrations").await;
}

#[tokio::test]
async fn the_lock_of_the_migrator_is_held_while_it_migrates() {
    let count = "create table locks as select count(*) as held from pg_locks \
                 where locktype = 'advisory' and pid = pg_backend_pid()";
    let last = "alter table locks add waits boolean";
    for (locking, held) in [(true, 1), (false, 0)] {
        let mut migrations = vec![migration(1, count, false)];
        // The lock is not in the fingerprint, so each template has migrations of its own.
        migrations.extend((!locking).then(|| migration(2, last, false)));
        let mut migrator = Migrator::with_migrations(migrations);
        migrator.set_locking(locking);
        let scratch = Scratch::new();
        let (harness, migrator) = with(&scratch, migrator);
        let beside = Beside::new(&harness, migrator).await;
        for database in [&beside.ebbtide, &beside.sqlx] {
            let found: i64 = sqlx::query_scalar("select held from locks")
                .fetch_one(&database.pool())
                .await
                .unwrap();
            assert_eq!(found, held, "locking: {locking}");
        }
        beside.close().await;
    }
}

#[tokio::test]
async fn characters_that_the_migrator_ignores_do_not_count_in_the_ledger() {
    let scratch = Scratch::new();
    scratch.write("files/2_users.sql", "create table users (id int);\r\n");
    scratch.write(
        "files/10_pets.sql",
        "drop table users;\r\ncreate table pets (id int);",
    );
    let resolve = async |ignored: &str| {
        let mut config = ResolveConfig::new();
        config.ignore_chars(ignored.chars());
        Migrator::new(ResolveWith(scratch.path("files"), config))
            .await
            .unwrap()
    };
    assert_as_sqlx(resolve("").await, "_sqlx_migrations").await;
    // The same SQL with other checksums is another template.
    assert_as_sqlx(resolve("\r\n").await, "_sqlx_migrations").await;
}

#[tokio::test]
async fn a_row_without_a_file_is_an_error_unless_the_migrator_ignores_it() {
    let squashed = "create table users (id int); insert into _sqlx_migrations \
                    values (1, 'squashed', now(), true, '\\x00', 0)";
    let migrator = || Migrator::with_migrations(vec![migration(2, squashed, false)]);
    let scratch = Scratch::new();
    let (harness, strict) = with(&scratch, migrator());
    let error = harness.tx().await.unwrap_err();
    let missing = "1 is in the ledger, but no file has this version";
    assert_report_contains(&error, ErrorKind::LedgerMismatch, &[missing]);

    let mut ignoring = migrator();
    ignoring.set_ignore_missing(true);
    let (harness, ignoring) = with(&scratch, ignoring);
    let beside = Beside::new(&harness, ignoring).await;
    beside.assert_equal("_sqlx_migrations").await;
    beside.assert_nothing_pending(ignoring).await;
    // sqlx, too, refuses the row.
    strict.run(&beside.ebbtide.pool()).await.unwrap_err();
    beside.close().await;
}

#[tokio::test]
async fn migrations_run_in_the_order_of_the_migrator() {
    let migrations = vec![
        migration(10, "create table pets (id int)", false),
        migration(2, "create table users (id int); drop table users", false),
    ];
    let migrator = Migrator {
        migrations: Cow::Owned(migrations),
        ..Migrator::DEFAULT
    };
    assert_as_sqlx(migrator, "_sqlx_migrations").await;
}
