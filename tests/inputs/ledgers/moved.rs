//! A migration moves the ledger, or changes where the tool finds it.

use ebbtide::{ErrorKind, Setup};

use super::{Beside, harness, migrator, set_path_of_database};
use crate::support::Scratch;
use crate::support::reports::{assert_report_contains, first_claim, provision_report};

const TABLE: &str = "_sqlx_migrations";
const USERS: &str = "create table users (id int primary key);";

/// Migrates with sqlx beside ebbtide, and asserts that both make the same database. Returns the
/// ledger that ebbtide reports as the one with the expected version.
async fn ledger_as_sqlx(files: &[(&str, &str)], is_pending: bool) -> String {
    let scratch = Scratch::new();
    let harness = harness(&scratch, files);
    let migrator = migrator(&scratch).await;
    let beside = Beside::new(&harness, &migrator).await;
    beside.assert_equal(TABLE).await;
    if !is_pending {
        beside.assert_nothing_pending(&migrator).await;
    }
    let health = harness.health().await;
    assert!(health.is_clean(), "{health}");
    let report = harness.diff(beside.sqlx.url()).await.unwrap();
    assert_eq!(report.expected.ledger, report.found.ledger);
    beside.close().await;
    first_claim(&health).table.clone()
}

#[tokio::test]
async fn a_copy_of_the_ledger_in_another_schema_holds_the_row_that_was_written_there() {
    let move_away = "create schema app;
        create table app._sqlx_migrations (like public._sqlx_migrations including all);
        set local search_path to app;
        create table users (id int);";
    // Only the transaction of the first migration writes there, and sqlx would apply it again.
    let files = [
        ("1_users.sql", move_away),
        ("2_pets.sql", "create table pets ();"),
    ];
    assert_eq!(ledger_as_sqlx(&files, true).await, TABLE);
    let last = [("1_users.sql", USERS), ("2_all.sql", move_away)];
    assert_eq!(ledger_as_sqlx(&last, true).await, "app._sqlx_migrations");
}

#[tokio::test]
async fn a_ledger_that_moves_with_the_search_path_of_the_database_is_found_there() {
    let path = set_path_of_database("app, public");
    for statements in [
        "alter table public._sqlx_migrations set schema app",
        "create table app._sqlx_migrations (like public._sqlx_migrations including all);
         insert into app._sqlx_migrations select * from public._sqlx_migrations",
        "create table app._sqlx_migrations as select * from public._sqlx_migrations;
         drop table public._sqlx_migrations",
    ] {
        let moved =
            format!("create schema app; {statements}; {path} set search_path to app, public;");
        let files = [
            ("1_users.sql", USERS),
            ("2_move.sql", &moved),
            ("10_pets.sql", "create table pets (id int);"),
        ];
        let ledger = ledger_as_sqlx(&files, false).await;
        assert_eq!(ledger, "app._sqlx_migrations", "{statements}");
    }
}

#[tokio::test]
async fn a_ledger_behind_a_view_is_read() {
    let hidden = "alter table _sqlx_migrations rename to migration_rows;
        create view _sqlx_migrations as select * from migration_rows;";
    let files = [("1_users.sql", USERS), ("2_hide.sql", hidden)];
    let scratch = Scratch::new();
    let harness = harness(&scratch, &files);
    let migrator = migrator(&scratch).await;
    let beside = Beside::new(&harness, &migrator).await;
    beside.assert_equal("migration_rows").await;
    beside.assert_nothing_pending(&migrator).await;
    beside.close().await;
    assert_eq!(first_claim(&harness.health().await).table, TABLE);
}

#[tokio::test]
async fn a_ledger_of_another_service_does_not_count() {
    let foreign = "create schema billing;
        create table billing._sqlx_migrations (like public._sqlx_migrations including all);
        insert into billing._sqlx_migrations values (7, 'bills', now(), true, '\\x00', 0);
        create table users (id int);";
    let files = [
        ("1_users.sql", foreign),
        ("2_pets.sql", "create table pets ();"),
    ];
    assert_eq!(ledger_as_sqlx(&files, false).await, TABLE);
}

#[tokio::test]
async fn a_schema_with_the_name_of_the_role_takes_the_later_tables() {
    let own = "do $$ begin execute format('create schema %I', current_user); end $$;";
    let files = [
        ("1_users.sql", USERS),
        ("2_own.sql", own),
        ("3_pets.sql", "create table pets (id int);"),
    ];
    // A new session creates another ledger in that schema, so sqlx would apply all of them again.
    assert_eq!(ledger_as_sqlx(&files, true).await, TABLE);
}

#[tokio::test]
async fn the_ledgers_of_diesel_and_refinery_are_found_where_they_are() {
    let path = set_path_of_database("app, public");
    for (table, [one, two, three]) in [
        (
            "__diesel_schema_migrations",
            [
                "2026-01-01-000000_a/up.sql",
                "20260102000000_b/up.sql",
                "2026-01-03-000000_c/up.sql",
            ],
        ),
        (
            "refinery_schema_history",
            ["V1__a.sql", "V2__b.sql", "V10__c.sql"],
        ),
    ] {
        for moved in [
            format!("alter table {table} set schema app; set search_path = app, public;"),
            format!(
                "create table app.{table} as select * from public.{table};
                 set search_path = app, public;"
            ),
        ] {
            let scratch = Scratch::new();
            let moved = format!("create schema app; {path} {moved}");
            let files = [
                (one, USERS),
                (two, &moved),
                (three, "create table pets ();"),
            ];
            let health = harness(&scratch, &files).health().await;
            assert!(health.is_clean(), "{health}");
            assert_eq!(first_claim(&health).table, format!("app.{table}"));
        }
    }
}

#[tokio::test]
async fn a_search_path_of_the_plan_is_the_one_of_the_migrations() {
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_users.sql",
        "create table app.log (); create table users ();",
    );
    let builder = scratch.builder().setting("search_path", "app, public");
    let builder = builder.migrations(scratch.path("migrations"));
    scratch.write("migrations/0_schema.sql", "create schema app;");
    let report = provision_report(builder).await;
    assert_eq!(
        report.rows.keys().collect::<Vec<_>>(),
        ["app.log", "app.users"]
    );
}

#[tokio::test]
async fn a_statement_after_which_the_ledger_is_not_found_is_shown() {
    let role = "-- A role that every server has.\nset role pg_monitor;";
    for (first, second, place) in [
        (
            "create schema app;\nset search_path = app;",
            None,
            "1_users.sql:2:1",
        ),
        (
            USERS,
            Some("create schema app;\n\nset local search_path = app;"),
            "2_pets.sql:3:1",
        ),
        (role, None, "1_users.sql:2:1"),
    ] {
        let scratch = Scratch::new();
        let mut files = vec![("1_users.sql", first)];
        files.extend(second.map(|sql| ("2_pets.sql", sql)));
        let harness = harness(&scratch, &files);
        let error = harness.tx().await.unwrap_err();
        let texts = [
            "the session was last changed at",
            place,
            "reset search_path; reset role;",
        ];
        assert_report_contains(&error, ErrorKind::Migration, &texts);
        // sqlx fails too.
        let empty = harness.with_setup(Setup::new().without_migrations());
        let database = empty.database().await.unwrap();
        let refused = migrator(&scratch).await.run(&database.pool()).await;
        refused.unwrap_err();
        database.close().await.unwrap();
    }
}
