//! Where roles come from: the plan, the bootstrap, migrations; and roles that cannot be used.

use ebbtide::config::{Backend, Role};
use ebbtide::{Error, ErrorKind, Harness};

use super::{code, number, run, text};
use crate::support::{Scratch, runs_natively, this_test};

const TABLE: &str = "create table notes (id serial primary key, body text);";

fn native(scratch: &Scratch, migration: &str) -> ebbtide::config::Builder {
    scratch.write("migrations/1_notes.sql", migration);
    scratch.builder().backend(Backend::Native)
}

async fn error_of(harness: &Harness) -> Error {
    harness.tx().await.map(drop).unwrap_err()
}

#[tokio::test]
async fn the_bootstrap_creates_a_role() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write(
        "bootstrap/1_roles.sql",
        "create role desk login; create role boss login;",
    );
    let harness = native(&scratch, &format!("{TABLE} grant select on notes to desk;"))
        .bootstrap(scratch.path("bootstrap"))
        .owner("boss")
        .test_role("desk")
        .build()
        .unwrap();
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(text(&mut tx, "select session_user::text").await, "desk");
    assert_eq!(number(&mut tx, "select count(*) from notes").await, 0);
    assert_eq!(
        code(run(&mut tx, "insert into notes default values").await),
        "42501"
    );
    drop(tx);
}

#[tokio::test]
async fn a_migration_creates_a_role() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let migration = format!("{TABLE} create role clerk login; grant all on notes to clerk;");
    let harness = native(&scratch, &migration)
        .test_role("clerk")
        .build()
        .unwrap();
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(text(&mut tx, "select session_user::text").await, "clerk");
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_name_with_every_kind_of_character_is_a_role() {
    if !runs_natively(this_test!()) {
        return;
    }
    for name in [
        "odd-Name;",
        "o'brien \"quoted\" \\",
        "größe@x:y/z?#%",
        "SELECT",
    ] {
        let scratch = Scratch::new();
        let role = Role::new(name).grant("insert, select on all tables in schema public");
        let role = role.grant("usage on all sequences in schema public");
        let harness = native(&scratch, TABLE)
            .role("members of the odd")
            .role(role.member_of("members of the odd"))
            .test_role(name)
            .build()
            .unwrap();
        let mut tx = harness.tx().await.unwrap();
        assert_eq!(text(&mut tx, "select session_user::text").await, name);
        run(&mut tx, "insert into notes default values")
            .await
            .unwrap();
        let member = "select pg_has_role('members of the odd', 'usage')::text";
        assert_eq!(text(&mut tx, member).await, "true");
        tx.close().await.unwrap();
        let database = harness.database().await.unwrap();
        let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
        let user = text(
            &mut pool.acquire().await.unwrap(),
            "select session_user::text",
        )
        .await;
        assert_eq!(user, name);
        pool.close().await;
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_role_that_is_missing_or_may_not_log_in_is_an_error_with_the_remedy() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let migration = format!("{TABLE} create role readers; create role closed login;");
    let database = "do $$ begin execute format('revoke connect on database %I from public', \
        current_database()); end $$;";
    let harness = native(&scratch, &format!("{migration} {database}"))
        .build()
        .unwrap();
    for (role, what, help) in [
        (
            "nobody_here",
            "\"nobody_here\" does not exist",
            "add \"nobody_here\" to provision.roles",
        ),
        (
            "readers",
            "\"readers\", which may not log in",
            "ALTER ROLE \"readers\" LOGIN",
        ),
        (
            "closed",
            "\"closed\" has no privilege to connect",
            "GRANT CONNECT ON DATABASE",
        ),
    ] {
        let harness = harness.as_role(role);
        for error in [
            error_of(&harness).await,
            harness.sandbox().await.map(drop).unwrap_err(),
            harness.database().await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error:?}");
            assert!(format!("{error:?}").contains(what), "{error:?}");
            assert!(error.help().unwrap().contains(help), "{error:?}");
        }
    }
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(number(&mut tx, "select count(*) from notes").await, 0);
    tx.close().await.unwrap();
}

#[tokio::test]
async fn an_owner_that_is_missing_is_an_error_with_the_remedy() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let harness = native(&scratch, TABLE).owner("landlord").build().unwrap();
    let error = harness.provision().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error:?}");
    assert!(
        error.to_string().contains("\"landlord\" does not exist"),
        "{error}"
    );
    assert!(
        error.help().unwrap().contains("provision.roles"),
        "{error:?}"
    );
}

#[tokio::test]
async fn privileges_that_the_server_refuses_are_an_error_with_the_statement() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let role = Role::new("suite_misspelt").grant("select on nots");
    let harness = native(&scratch, TABLE).role(role).build().unwrap();
    let error = harness.provision().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(
        error
            .to_string()
            .contains("`grant select on nots to \"suite_misspelt\"`"),
        "{error}"
    );
}

#[tokio::test]
async fn plans_of_tests_that_log_in_as_a_role_are_an_error() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let harness = native(&scratch, TABLE)
        .role("suite_planner")
        .test_role("suite_planner")
        .log_plans_slower_than(std::time::Duration::ZERO)
        .build()
        .unwrap();
    let error = error_of(&harness).await;
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(
        error.help().unwrap().contains("EBBTIDE_TEST_ROLE=postgres"),
        "{error:?}"
    );
}
