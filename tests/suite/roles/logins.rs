//! Sessions that are logged in as the role: what they are, and what the next test finds.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::{APP, OWNER, code, harness, number, run, text};
use crate::support::Scratch;

const WHO: &str = "select concat_ws(' ', session_user, current_user, \
    (select rolsuper or rolbypassrls from pg_roles where rolname = session_user))";

#[tokio::test]
async fn every_session_of_a_test_is_logged_in_as_the_role() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let expected = format!("{APP} {APP} f");
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(text(&mut tx, WHO).await, expected);
    let mut second = PgConnection::connect(&tx.url()).await.unwrap();
    assert_eq!(text(&mut second, WHO).await, expected);
    second.close().await.unwrap();
    tx.close().await.unwrap();
    let options = ebbtide::TxOptions::new().savepoints();
    let mut relayed = harness.tx_with(options).await.unwrap();
    assert_eq!(text(&mut relayed, WHO).await, expected);
    relayed.close().await.unwrap();
    let sandbox = harness.sandbox().await.unwrap();
    assert_eq!(
        text(&mut sandbox.acquire().await.unwrap(), WHO).await,
        expected
    );
    sandbox.close().await.unwrap();
    let database = harness.database().await.unwrap();
    let mut pooled = database.pool().acquire().await.unwrap();
    assert_eq!(text(&mut pooled, WHO).await, expected);
    drop(pooled);
    let mut of_url = PgConnection::connect(database.url()).await.unwrap();
    assert_eq!(text(&mut of_url, WHO).await, expected);
    of_url.close().await.unwrap();
    database.close().await.unwrap();
}

#[tokio::test]
async fn roles_are_set_and_reset_as_in_production() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let database = harness.database().await.unwrap();
    let mut session = database.pool().acquire().await.unwrap();
    // insufficient_privilege: the role is no member of the owner, and no superuser.
    assert_eq!(
        code(run(&mut session, "set role suite_owner").await),
        "42501"
    );
    assert_eq!(
        code(run(&mut session, "set session authorization suite_owner").await),
        "42501"
    );
    run(
        &mut session,
        "set role suite_app; reset role; reset session authorization",
    )
    .await
    .unwrap();
    assert_eq!(text(&mut session, WHO).await, format!("{APP} {APP} f"));
    // `DISCARD ALL` drops the statements that the driver has prepared.
    session.clear_cached_statements().await.unwrap();
    run(&mut session, "discard all").await.unwrap();
    assert_eq!(text(&mut session, WHO).await, format!("{APP} {APP} f"));
    assert_eq!(
        code(
            run(
                &mut session,
                "alter table orders disable row level security"
            )
            .await
        ),
        "42501"
    );
    drop(session);
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_pool_that_sets_its_role_gets_that_role() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let database = harness.as_role(OWNER).database().await.unwrap();
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::query("set role suite_owner")
                    .execute(connection)
                    .await
                    .map(drop)
            })
        })
        .connect(database.url())
        .await
        .unwrap();
    let user = text(
        &mut pool.acquire().await.unwrap(),
        "select current_user::text",
    )
    .await;
    assert_eq!(user, OWNER);
    pool.close().await;
    database.close().await.unwrap();
}

#[tokio::test]
async fn as_role_changes_the_login_of_one_harness_only() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let owner = harness.as_role(OWNER);
    for _ in 0..2 {
        let mut tx = owner.tx().await.unwrap();
        assert_eq!(text(&mut tx, "select session_user::text").await, OWNER);
        run(&mut tx, "alter table notes add column kind text")
            .await
            .unwrap();
        tx.close().await.unwrap();
        let mut tx = harness.tx().await.unwrap();
        assert_eq!(text(&mut tx, "select session_user::text").await, APP);
        tx.close().await.unwrap();
    }
    let one = harness.provision().await.unwrap();
    let other = owner.provision().await.unwrap();
    assert_eq!(one.fingerprint, other.fingerprint, "both have one template");
}

/// The end of a test restores what the role itself may not restore.
#[tokio::test]
async fn the_next_test_finds_a_new_database_and_session() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let insert = "insert into notes (body) values ('x')";
    let tenant = "select coalesce(current_setting('app.tenant', true), 'null')";
    for round in 0..3 {
        let mut tx = harness.tx().await.unwrap();
        assert_eq!(text(&mut tx, tenant).await, "null", "round {round}");
        run(&mut tx, "select set_config('app.tenant', '1', false)")
            .await
            .unwrap();
        run(&mut tx, insert).await.unwrap();
        run(&mut tx, "insert into orders (tenant, item) values (1, 'a')")
            .await
            .unwrap();
        assert_eq!(number(&mut tx, "select max(id) from notes").await, 1);
        assert_eq!(number(&mut tx, "select max(id)::int8 from orders").await, 1);
        tx.close().await.unwrap();
        let sandbox = harness.sandbox().await.unwrap();
        let mut session = sandbox.acquire().await.unwrap();
        assert_eq!(text(&mut session, tenant).await, "null");
        run(&mut session, insert).await.unwrap();
        assert_eq!(number(&mut session, "select max(id) from notes").await, 1);
        drop(session);
        sandbox.close().await.unwrap();
        let database = harness.database().await.unwrap();
        let mut session = database.pool().acquire().await.unwrap();
        run(&mut session, insert).await.unwrap();
        assert_eq!(number(&mut session, "select max(id) from notes").await, 1);
        drop(session);
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn commits_are_refused_and_escapes_are_noticed() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = harness.tx().await.unwrap();
    let commit = run(&mut tx, "insert into notes (body) values ('x'); commit").await;
    assert_eq!(code(commit), "25000");
    drop(tx);
    let mut tx = harness.tx().await.unwrap();
    run(
        &mut tx,
        "rollback; begin read write; insert into notes (body) values ('y')",
    )
    .await
    .unwrap();
    let error = tx.close().await.unwrap_err();
    assert_eq!(error.kind(), ebbtide::ErrorKind::TransactionEscaped);
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(number(&mut tx, "select count(*) from notes").await, 0);
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_kept_database_shows_all_rows() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_shop.sql", super::MIGRATION);
    let harness = super::builder(&scratch)
        .keep_for(std::time::Duration::from_secs(30))
        .build()
        .unwrap();
    let mut tx = harness.tx().await.unwrap();
    run(
        &mut tx,
        "set local app.tenant = '7'; insert into orders (tenant, item) values (7, 'kept')",
    )
    .await
    .unwrap();
    let kept = tx.keep().await.unwrap();
    let mut session = PgConnection::connect(&kept.url).await.unwrap();
    // The URL logs in as the role that administers the server. Where that is no superuser, it acts
    // as the tenant.
    run(&mut session, "set app.tenant = '7'").await.unwrap();
    assert_eq!(text(&mut session, "select item from orders").await, "kept");
    session.close().await.unwrap();
}
