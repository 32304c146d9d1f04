//! What the role of `provision.owner` owns, and as which role migrations and seeds run.

use super::{APP, OWNER, code, run, text};
use crate::support::{Scratch, runs_natively, this_test};
use ebbtide::config::{Backend, MigrationCommand};

#[tokio::test]
async fn migrations_and_seeds_run_as_the_owner() {
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_log.sql",
        "create schema app; create table app.log (id serial, who text, login text); \
         create table notes (id serial, who text default session_user); \
         insert into app.log (who, login) values (current_user, session_user); \
         create function made_by() returns text language sql as 'select current_user::text'; \
         create type mood as enum ('sad', 'happy');",
    );
    scratch.write(
        "seeds/1_log.sql",
        "insert into app.log (who, login) values (current_user, session_user);",
    );
    scratch.write("seeds/2_notes.json", r#"{"notes": [{"id": 7}]}"#);
    let harness = super::builder(&scratch).build().unwrap();
    let mut tx = harness.as_role(OWNER).tx().await.unwrap();
    let ran_as = "select string_agg(who || ' ' || login, ', ' order by id) from app.log";
    let owner = format!("{OWNER} {OWNER}");
    assert_eq!(text(&mut tx, ran_as).await, format!("{owner}, {owner}"));
    assert_eq!(text(&mut tx, "select who from notes").await, OWNER);
    let owners = "select string_agg(distinct owner, ', ') from ( \
        select pg_get_userbyid(relowner)::text as owner from pg_class c \
            join pg_namespace n on n.oid = relnamespace where nspname in ('app', 'public') \
        union select pg_get_userbyid(proowner) from pg_proc where proname = 'made_by' \
        union select pg_get_userbyid(typowner) from pg_type where typname = 'mood' \
        union select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'app' \
        union select pg_get_userbyid(datdba) from pg_database where datname = current_database()) o";
    assert_eq!(text(&mut tx, owners).await, OWNER);
    tx.close().await.unwrap();
    // The application's role has no privilege on the schema `app`.
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(
        code(run(&mut tx, "select from app.log").await),
        "42501",
        "{APP}"
    );
    drop(tx);
}

#[tokio::test]
async fn every_lane_belongs_to_the_owner_also_after_a_reset_and_a_new_copy() {
    let scratch = Scratch::new();
    let harness = super::harness(&scratch);
    let owner = "select pg_get_userbyid(datdba)::text from pg_database \
        where datname = current_database()";
    for statement in [
        "insert into notes (body) values ('x')",
        "create table public.extra ()",
        "alter table notes add column more text",
    ] {
        let database = harness.as_role(OWNER).database().await.unwrap();
        let mut session = database.pool().acquire().await.unwrap();
        assert_eq!(text(&mut session, owner).await, OWNER);
        run(&mut session, statement).await.unwrap();
        drop(session);
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_migration_that_needs_more_rights_than_the_owner_has_is_refused() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_sys.sql", "select pg_read_file('PG_VERSION');");
    let harness = super::builder(&scratch).build().unwrap();
    let error = harness.provision().await.unwrap_err();
    assert_eq!(error.kind(), ebbtide::ErrorKind::Migration, "{error:?}");
    assert!(
        error.help().unwrap().contains("provision.bootstrap"),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_way_down_runs_as_the_owner_too() {
    let scratch = Scratch::new();
    let who = "do $$ begin if session_user <> 'suite_owner' then raise 'ran as %', session_user; \
        end if; end $$;";
    scratch.write(
        "migrations/1_a.up.sql",
        &format!("create table a (); {who}"),
    );
    scratch.write("migrations/1_a.down.sql", &format!("drop table a; {who}"));
    let harness = super::builder(&scratch).build().unwrap();
    let report = harness.check_reversible().await.unwrap();
    assert!(report.is_clean(), "{report}");
}

#[tokio::test]
async fn a_migration_command_gets_the_url_of_the_owner() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let script = "psql -X -v ON_ERROR_STOP=1 -c 'create table made as select session_user as who' \
        \"$DATABASE_URL\"";
    let input = scratch.write("input.sql", "");
    let command = MigrationCommand::new(["sh", "-c", script]).input(input);
    let harness = super::builder(&scratch)
        .backend(Backend::Native)
        .migrations(command)
        .build()
        .unwrap();
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(text(&mut tx, "select who::text from made").await, OWNER);
    tx.close().await.unwrap();
}

#[tokio::test]
async fn databases_that_are_built_at_once_get_the_same_owner() {
    let builds = (0..24).map(|number| async move {
        let scratch = Scratch::new();
        let migration = format!("create table t{number} (id int)");
        scratch.write("migrations/1_t.sql", &migration);
        let harness = super::builder(&scratch).build().unwrap();
        let mut tx = harness.as_role(OWNER).tx().await.unwrap();
        let owner = "select tableowner::text from pg_tables where schemaname = 'public'";
        assert_eq!(text(&mut tx, owner).await, OWNER);
        tx.close().await.unwrap();
    });
    futures_util::future::join_all(builds).await;
}
