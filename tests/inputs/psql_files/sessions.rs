//! Each file begins with the state of a new session.

use super::{ROLES, assert_as_psql, harness, needs_psql};
use crate::support::Scratch;

/// Statements whose effect ends with their session.
const STATE: [&str; 17] = [
    "set session_replication_role = replica",
    "set client_encoding = 'LATIN1'",
    "set standard_conforming_strings = off",
    "set search_path = pg_catalog",
    "select set_config('search_path', '', false)",
    "set role pg_monitor",
    "set session authorization pg_monitor",
    "set app.tenant = '1'",
    "create temporary table t (id int)",
    "prepare p as select 1",
    "select pg_advisory_lock(7)",
    "select setseed(0.5)",
    "select nextval('public.s')",
    "declare c cursor with hold for select 1",
    "set default_transaction_read_only = on",
    "set constraints all deferred",
    "load 'auto_explain'",
];

/// What a session sees of its own state. The table `seen` records it.
const LOOK: &str = "insert into public.seen select format('%s', x) from (values \
    (current_setting('session_replication_role')), (current_setting('client_encoding')), \
    (current_setting('standard_conforming_strings')), (current_setting('search_path')), \
    (current_user::text), (session_user::text), (coalesce(current_setting('app.tenant', true), 'none')), \
    ((select count(*) from pg_prepared_statements)::text), \
    ((select count(*) from pg_locks where locktype = 'advisory' and objid = 7 \
        and pid = pg_backend_pid())::text), \
    ((select count(*) from pg_cursors where name = 'c')::text), \
    (current_setting('default_transaction_read_only')), \
    (coalesce(current_setting('auto_explain.log_format', true), 'not loaded')), \
    ('\\'), ('\u{e9}'), (to_regclass('pg_temp.t')::text)) as v(x);\n";

#[tokio::test]
async fn no_state_of_a_session_reaches_the_next_file() {
    needs_psql!();
    let first = "create table seen (x text); create sequence s; create table t (id int);\n";
    let mut files = vec![first.to_owned()];
    for state in STATE {
        files.push(format!("{state};\n"));
        files.push(LOOK.to_owned());
    }
    // A setting of the database holds from the next session on.
    files.push(
        "do $$ begin execute format('alter database %I set search_path = pg_catalog, public', \
         current_database()); end $$;\n"
            .to_owned(),
    );
    files.push(LOOK.to_owned());
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    assert_as_psql(&files).await;
}

#[tokio::test]
async fn the_last_value_of_a_sequence_is_unknown_in_the_next_file() {
    for role in ROLES {
        let scratch = Scratch::new();
        let first =
            "create table t (id serial);\ninsert into t default values;\nselect lastval();\n";
        let error = harness(&scratch, role, &[first, "select lastval();\n"])
            .tx()
            .await;
        let report = format!("{:?}", error.unwrap_err());
        assert!(
            report.contains("lastval is not yet defined in this session"),
            "{report}"
        );
    }
}

#[tokio::test]
async fn random_numbers_of_a_file_do_not_depend_on_the_file_before_it() {
    let scratch = Scratch::new();
    let first = "create table t (x float8);\nselect setseed(0.5);\n";
    let next = "insert into t values (random());\n";
    let files = [first, next, "select setseed(0.5);\n", next];
    let harness = harness(&scratch, super::Role::Seed, &files);
    let mut tx = harness.tx().await.unwrap();
    let different: i64 =
        crate::support::sql::number(&mut tx, "select count(distinct x) from t").await;
    assert_eq!(different, 2);
    tx.close().await.unwrap();
}

#[tokio::test]
async fn files_of_sqlx_share_one_session_as_under_sqlx() {
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_a.sql",
        "set app.tenant = '1'; create table t (x text);\n",
    );
    scratch.write(
        "migrations/2_b.sql",
        "insert into t values (current_setting('app.tenant'));\n",
    );
    let mut tx = scratch.builder().build().unwrap().tx().await.unwrap();
    assert_eq!(
        crate::support::sql::text(&mut tx, "select x from t").await,
        "1"
    );
    tx.close().await.unwrap();
}
