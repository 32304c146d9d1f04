//! Which databases of an external server ebbtide drops, and which it leaves alone.

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};

use super::external_server::{ExternalServer, PASSWORD};
use crate::support::this_test;

/// Creates databases that no process uses, and a second role that owns one of them.
///
/// The lane `aa` and the build `bb` belong to the test's role, so ebbtide may drop them. A kept
/// database carries its expiry in its comment. The first has expired, the second expires in the
/// year 2255, and the third has no comment.
async fn create_databases(external: &ExternalServer) {
    external
        .run(&format!(
            "create role neighbour login createdb password '{PASSWORD}'"
        ))
        .await;
    for (name, owner) in [
        ("ebbtide_l_00000000000000aa_0", "app"),
        ("ebbtide_b_00000000000000bb_1234abcd", "app"),
        ("ebbtide_l_00000000000000cc_0", "neighbour"),
        ("ebbtide_notes", "app"),
        ("ebbtide_k_00000001", "app"),
        ("ebbtide_k_00000002", "app"),
        ("ebbtide_k_00000003", "app"),
        ("production", "app"),
    ] {
        external
            .run(&format!("create database {name} owner {owner}"))
            .await;
    }
    let set_expiry = |name: &str, until: i64| {
        format!("comment on database {name} is '{{\"owner\":\"ebbtide\",\"kept_until\":{until}}}'")
    };
    external
        .run(&set_expiry("ebbtide_k_00000001", 1_000_000_000))
        .await;
    external
        .run(&set_expiry("ebbtide_k_00000002", 9_000_000_000))
        .await;
}

/// The databases of [`create_databases`] that ebbtide must leave alone.
const REMAINING_DATABASES: [&str; 4] = [
    "ebbtide_k_00000002",
    "ebbtide_k_00000003",
    "ebbtide_l_00000000000000cc_0",
    "ebbtide_notes",
];

#[tokio::test]
async fn provisioning_drops_databases_whose_processes_have_ended() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    create_databases(&external).await;
    external
        .builder(&url)
        .build()
        .unwrap()
        .provision()
        .await
        .unwrap();
    let mut remaining = external.databases("").await;
    remaining.retain(|name| !name.starts_with("ebbtide_t_"));
    assert_eq!(remaining, REMAINING_DATABASES);
    assert_eq!(
        external
            .list("select datname::text from pg_database where datname = 'production'")
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn clean_up_drops_every_database_that_is_not_in_use() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    create_databases(&external).await;
    let used = external.builder(&url).build().unwrap();
    let tx = used.tx().await.unwrap();
    external
        .scratch
        .write("other/1_other.sql", "create table other ();");
    let other = external
        .builder(&url)
        .migrations(external.scratch.path("other"))
        .build()
        .unwrap();
    let mut unused = other.tx().await.unwrap();
    let name: String = sqlx::query_scalar("select current_database()::text")
        .fetch_one(&mut *unused)
        .await
        .unwrap();
    unused.close().await.unwrap();
    drop(other);
    // The dropped harness closes its connection for locks in the background.
    let lane_locks = "select distinct pid::text from pg_locks \
                      where locktype = 'advisory' and mode = 'ExclusiveLock'";
    external
        .wait_until("only one session holds a lane lock", lane_locks, |found| {
            found.len() == 1
        })
        .await;

    let cleaner = external.builder(&url).build().unwrap();
    let report = cleaner.clean_up().await.unwrap();
    assert!(report.dropped.contains(&name), "{report:?}");
    assert_eq!(
        report.dropped.len(),
        2,
        "a template and its lane: {report:?}"
    );
    assert_eq!(
        report.held.len(),
        5,
        "a template and its lane, two kept databases and ebbtide_notes: {report:?}"
    );

    tx.close().await.unwrap();
    drop(used);
    let held = "select pid::text from pg_locks where locktype = 'advisory' and mode = 'ShareLock'";
    external
        .wait_until("no session uses a template", held, <[String]>::is_empty)
        .await;
    let report = cleaner.clean_up().await.unwrap();
    assert_eq!(report.dropped.len(), 2, "{report:?}");
    assert_eq!(external.databases("").await, REMAINING_DATABASES);
    let again = external.builder(&url).build().unwrap();
    again.tx().await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_kept_database_is_dropped_after_its_expiry_unless_a_session_uses_it() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let harness = external.builder(&url).build().unwrap();
    let mut tx = harness.tx().await.unwrap();
    sqlx::query("insert into things (name) values ('to look at')")
        .execute(&mut *tx)
        .await
        .unwrap();
    let kept = tx.keep().await.unwrap();
    let remaining_minutes = "select (((shobj_description(oid, 'pg_database')::json \
                             ->> 'kept_until')::numeric \
                             - extract(epoch from now())) / 60)::int::text \
                             from pg_database where datname like 'ebbtide\\_k\\_%'";
    assert_eq!(external.list(remaining_minutes).await, ["60"]);

    assert!(
        !harness
            .clean_up()
            .await
            .unwrap()
            .dropped
            .contains(&kept.name)
    );
    let expired = "{\"owner\":\"ebbtide\",\"kept_until\":1}";
    external
        .run(&format!("comment on database {} is '{expired}'", kept.name))
        .await;
    let mut session = <sqlx::PgConnection as sqlx::Connection>::connect(&kept.url)
        .await
        .unwrap();
    let name: String = sqlx::query_scalar("select name from things")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(name, "to look at");
    assert!(harness.clean_up().await.unwrap().held.contains(&kept.name));
    sqlx::Connection::close(session).await.unwrap();
    assert!(
        harness
            .clean_up()
            .await
            .unwrap()
            .dropped
            .contains(&kept.name)
    );
    harness.tx().await.unwrap().close().await.unwrap();
}

/// A superuser's session, like an autovacuum worker on a lane: an ordinary role may not end it
/// (SQLSTATE 42501). ebbtide waits until the session ends by itself.
#[tokio::test]
async fn dropping_a_lane_waits_for_a_session_that_ebbtide_may_not_end() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let harness = external.builder(&url).build().unwrap();
    let database = harness.database().await.unwrap();
    let name = database.name().to_owned();
    sqlx::raw_sql("create table extra (id int)")
        .execute(&database.pool())
        .await
        .unwrap();
    let options = PgConnectOptions::new_without_pgpass()
        .socket(external.scratch.path("outside"))
        .port(external.port());
    let options = options
        .ssl_mode(PgSslMode::Disable)
        .username("postgres")
        .database(&name);
    let superuser = PgConnection::connect_with(&options).await.unwrap();
    database.close().await.unwrap();
    let dropping = "select query from pg_stat_activity where state = 'active' \
                    and query like 'drop database%' and query not like '%force%'";
    external
        .wait_until(
            "a DROP DATABASE without FORCE is waiting",
            dropping,
            |queries| queries.len() == 1,
        )
        .await;
    superuser.close().await.unwrap();
    let lane_database = format!("select datname::text from pg_database where datname = '{name}'");
    external
        .wait_until("the lane is copied again", &lane_database, |names| {
            names.len() == 1
        })
        .await;
    let next = harness.database().await.unwrap();
    let extra: Option<String> = sqlx::query_scalar("select to_regclass('extra')::text")
        .fetch_one(&next.pool())
        .await
        .unwrap();
    assert_eq!(extra, None);
    next.close().await.unwrap();
}
