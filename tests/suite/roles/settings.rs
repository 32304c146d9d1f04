//! Roles with settings of their own.

use ebbtide::Harness;
use ebbtide::config::Backend;

use super::{APP, code, number, run, text};
use crate::support::{Scratch, runs_natively, this_test};

/// A harness whose bootstrap changes the role, so it has a dedicated server.
fn harness(scratch: &Scratch, bootstrap: &str) -> Harness {
    scratch.write("bootstrap/1_role.sql", bootstrap);
    scratch.write("migrations/1_shop.sql", super::MIGRATION);
    super::builder(scratch)
        .backend(Backend::Native)
        .bootstrap(scratch.path("bootstrap"))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_short_statement_timeout_ends_the_tests_statements_and_not_ebbtides() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let harness = harness(
        &scratch,
        "alter role suite_app set statement_timeout = '300ms'",
    );
    for _ in 0..3 {
        let mut tx = harness.tx().await.unwrap();
        assert_eq!(text(&mut tx, "show statement_timeout").await, "300ms");
        // query_canceled
        assert_eq!(code(run(&mut tx, "select pg_sleep(60)").await), "57014");
        drop(tx);
        let sandbox = harness.sandbox().await.unwrap();
        let mut session = sandbox.acquire().await.unwrap();
        assert_eq!(
            code(run(&mut session, "select pg_sleep(60)").await),
            "57014"
        );
        drop(session);
        sandbox.close().await.unwrap();
        let database = harness.database().await.unwrap();
        let mut session = database.pool().acquire().await.unwrap();
        assert_eq!(text(&mut session, "show statement_timeout").await, "300ms");
        run(&mut session, "insert into notes (body) values ('x')")
            .await
            .unwrap();
        drop(session);
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_search_path_of_the_role_holds_in_its_sessions() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let bootstrap = "alter role suite_app set search_path = shop, pg_catalog; \
        create schema shop; grant usage on schema shop to suite_app; \
        create table shop.things (id serial primary key); \
        grant all on shop.things to suite_app; grant usage on shop.things_id_seq to suite_app;";
    let harness = harness(&scratch, bootstrap);
    for _ in 0..2 {
        let mut tx = harness.tx().await.unwrap();
        let id = number(
            &mut tx,
            "insert into things default values returning id::int8",
        )
        .await;
        assert_eq!(id, 1);
        tx.close().await.unwrap();
        let database = harness.database().await.unwrap();
        let mut session = database.pool().acquire().await.unwrap();
        let id = number(
            &mut session,
            "insert into things default values returning id::int8",
        )
        .await;
        assert_eq!(id, 1);
        drop(session);
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_read_only_role_cannot_write() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let harness = harness(
        &scratch,
        "alter role suite_app set default_transaction_read_only = on",
    );
    let insert = "insert into notes (body) values ('x')";
    for _ in 0..2 {
        let mut tx = harness.tx().await.unwrap();
        assert_eq!(number(&mut tx, "select count(*) from notes").await, 0);
        // read_only_sql_transaction
        assert_eq!(code(run(&mut tx, insert).await), "25006");
        tx.close().await.unwrap();
        let sandbox = harness.sandbox().await.unwrap();
        assert_eq!(
            code(run(&mut sandbox.acquire().await.unwrap(), insert).await),
            "25006"
        );
        sandbox.close().await.unwrap();
        let database = harness.database().await.unwrap();
        let mut session = database.pool().acquire().await.unwrap();
        assert_eq!(code(run(&mut session, insert).await), "25006");
        run(
            &mut session,
            "begin read write; insert into notes (body) values ('y'); commit",
        )
        .await
        .unwrap();
        drop(session);
        database.close().await.unwrap();
    }
    let mut writer = harness.as_role(super::OWNER).tx().await.unwrap();
    run(&mut writer, insert).await.unwrap();
    writer.close().await.unwrap();
}

#[tokio::test]
async fn default_privileges_that_withhold_everything_do_not_affect_ebbtides_objects() {
    let scratch = Scratch::new();
    let migration = format!(
        "alter default privileges revoke execute on functions from public; \
         alter default privileges revoke all on tables from {APP}; \
         alter default privileges revoke usage on types from public; {}",
        super::MIGRATION
    );
    scratch.write("migrations/1_shop.sql", &migration);
    let harness = super::builder(&scratch).build().unwrap();
    for _ in 0..2 {
        let mut tx = harness.tx().await.unwrap();
        run(&mut tx, "insert into notes (body) values ('x')")
            .await
            .unwrap();
        assert_eq!(number(&mut tx, "select max(id) from notes").await, 1);
        tx.close().await.unwrap();
        let database = harness.database().await.unwrap();
        run(
            &mut database.pool().acquire().await.unwrap(),
            "insert into notes (body) values ('x')",
        )
        .await
        .unwrap();
        database.close().await.unwrap();
    }
}
