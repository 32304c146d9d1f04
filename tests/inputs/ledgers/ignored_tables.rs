//! Tables that may be missing although a migration creates them.

use ebbtide::ErrorKind;

use super::builder;
use crate::support::Scratch;
use crate::support::reports::{assert_report_contains, provision_error, provision_report};

const FILES: [(&str, &str); 2] = [
    (
        "1_users.sql",
        "create table users (id int); create table pets (id int);",
    ),
    (
        "2_lost.sql",
        "create schema app; create table app.visits (id int); create table seen (id int); \
         rollback; begin;",
    ),
];

#[tokio::test]
async fn the_key_limits_the_check_or_turns_it_off() {
    for (line, missing) in [
        ("ignore_missing_tables = false", &["app.visits", "seen"][..]),
        ("ignore_missing_tables = ['app.visits']", &["seen"]),
        ("ignore_missing_tables = ['public.seen']", &["app.visits"]),
        ("ignore_missing_tables = ['seen', 'app.visits']", &[]),
        ("ignore_missing_tables = true", &[]),
    ] {
        let scratch = Scratch::new();
        scratch.write("ebbtide.toml", &format!("[provision]\n{line}\n"));
        let builder = builder(&scratch, &FILES);
        if missing.is_empty() {
            let report = provision_report(builder).await;
            assert_eq!(report.rows.keys().collect::<Vec<_>>(), ["pets", "users"]);
        } else {
            let error = provision_error(builder).await;
            let help = format!("set provision.ignore_missing_tables = {missing:?}");
            assert_report_contains(&error, ErrorKind::LedgerMismatch, &[&help]);
        }
    }
}

#[tokio::test]
async fn the_builder_adds_tables_and_a_template_that_ignores_others_is_another_one() {
    let scratch = Scratch::new();
    let some = || builder(&scratch, &FILES).ignore_missing_tables(["seen"]);
    let error = provision_error(some()).await;
    assert_report_contains(
        &error,
        ErrorKind::LedgerMismatch,
        &["but app.visits is missing"],
    );
    provision_report(some().ignore_missing_tables(["app.visits"])).await;
    provision_report(builder(&scratch, &FILES).ignore_all_missing_tables()).await;
    // The two templates exist, and neither is one for a plan that requires the tables.
    provision_error(builder(&scratch, &FILES)).await;
}

#[tokio::test]
async fn a_drop_whose_table_is_known_at_run_time_ends_what_is_required() {
    let users = "create table users (id int); create table pets (id int);";
    let drop = "execute format('drop table %I', 'us' || 'ers');";
    let function =
        format!("create function tidy() returns void language plpgsql as $$ begin {drop} end $$;");
    for tidy in [
        format!("do $$ begin {drop} end $$;"),
        format!("{function} select tidy();"),
        format!("{function} do $$ begin perform tidy(); end $$;"),
        format!("create procedure tidy() language plpgsql as $$ begin {drop} end $$; call tidy();"),
        format!(
            "create function tidy() returns trigger language plpgsql as $$ begin {drop} \
             return null; end $$; create trigger t after insert on pets execute function tidy(); \
             insert into pets values (1);"
        ),
    ] {
        let scratch = Scratch::new();
        let files = [("1_users.sql", users), ("2_tidy.sql", &tidy)];
        let report = provision_report(builder(&scratch, &files)).await;
        assert_eq!(report.rows.keys().collect::<Vec<_>>(), ["pets"], "{tidy}");
    }
    let scratch = Scratch::new();
    let moved = "create schema app; do $$ begin alter table users set schema app; end $$;";
    let files = [("1_users.sql", users), ("2_move.sql", moved)];
    let report = provision_report(builder(&scratch, &files)).await;
    assert_eq!(
        report.rows.keys().collect::<Vec<_>>(),
        ["app.users", "pets"]
    );
}
