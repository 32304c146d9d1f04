//! What is dropped from a server that is not ours, and what is not.

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};

use super::outside::{Outside, PASSWORD, undisturbed};
use super::support::here;

/// Databases that nobody made through ebbtide, and a role that owns some of them.
async fn furnish(outside: &Outside) {
    outside
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
        outside
            .run(&format!("create database {name} owner {owner}"))
            .await;
    }
    let mark = |name: &str, until: i64| {
        format!("comment on database {name} is '{{\"owner\":\"ebbtide\",\"kept_until\":{until}}}'")
    };
    outside
        .run(&mark("ebbtide_k_00000001", 1_000_000_000))
        .await;
    outside
        .run(&mark("ebbtide_k_00000002", 9_000_000_000))
        .await;
}

const THEIRS_AND_KEPT: [&str; 4] = [
    "ebbtide_k_00000002",
    "ebbtide_k_00000003",
    "ebbtide_l_00000000000000cc_0",
    "ebbtide_notes",
];

#[tokio::test]
async fn what_dead_owners_left_goes_when_a_template_is_looked_for() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    furnish(&outside).await;
    outside
        .builder(&url)
        .build()
        .unwrap()
        .provision()
        .await
        .unwrap();
    let mut left = outside.databases("").await;
    left.retain(|name| !name.starts_with("ebbtide_t_"));
    assert_eq!(left, THEIRS_AND_KEPT);
    assert_eq!(
        outside
            .list("select datname::text from pg_database where datname = 'production'")
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn reaping_takes_all_that_nobody_holds() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    furnish(&outside).await;
    let used = outside.builder(&url).build().unwrap();
    let tx = used.tx().await.unwrap();
    outside
        .scratch
        .write("other/1_other.sql", "create table other ();");
    let other = outside
        .builder(&url)
        .migrations(outside.scratch.path("other"))
        .build()
        .unwrap();
    let mut gone = other.tx().await.unwrap();
    let name: String = sqlx::query_scalar("select current_database()::text")
        .fetch_one(&mut *gone)
        .await
        .unwrap();
    gone.close().await.unwrap();
    drop(other);
    // The harness's connection for locks goes in the background.
    let waiting = "select distinct pid::text from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock'";
    outside
        .until("one process holds a lane", waiting, |found| {
            found.len() == 1
        })
        .await;

    let reaper = outside.builder(&url).build().unwrap();
    let report = reaper.clean_up().await.unwrap();
    assert!(report.dropped.contains(&name), "{report:?}");
    assert_eq!(
        report.dropped.len(),
        2,
        "a template and its lane: {report:?}"
    );
    assert_eq!(
        report.held.len(),
        5,
        "a template and its lane, two kept ones and the notes: {report:?}"
    );

    tx.close().await.unwrap();
    drop(used);
    let held = "select pid::text from pg_locks where locktype = 'advisory' and mode = 'ShareLock'";
    outside
        .until("nobody uses a template", held, <[String]>::is_empty)
        .await;
    let report = reaper.clean_up().await.unwrap();
    assert_eq!(report.dropped.len(), 2, "{report:?}");
    assert_eq!(outside.databases("").await, THEIRS_AND_KEPT);
    let again = outside.builder(&url).build().unwrap();
    again.tx().await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_kept_database_goes_when_its_hour_is_over_and_nobody_looks() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let harness = outside.builder(&url).build().unwrap();
    let mut tx = harness.tx().await.unwrap();
    sqlx::query("insert into things (name) values ('to look at')")
        .execute(&mut *tx)
        .await
        .unwrap();
    let kept = tx.keep().await.unwrap();
    let remaining = "select (((shobj_description(oid, 'pg_database')::json ->> 'kept_until')::numeric \
                     - extract(epoch from now())) / 60)::int::text from pg_database where datname like 'ebbtide\\_k\\_%'";
    assert_eq!(outside.list(remaining).await, ["60"]);

    assert!(
        !harness
            .clean_up()
            .await
            .unwrap()
            .dropped
            .contains(&kept.name().to_owned())
    );
    let over = "{\"owner\":\"ebbtide\",\"kept_until\":1}";
    outside
        .run(&format!("comment on database {} is '{over}'", kept.name()))
        .await;
    let mut looking = <sqlx::PgConnection as sqlx::Connection>::connect(kept.url())
        .await
        .unwrap();
    let name: String = sqlx::query_scalar("select name from things")
        .fetch_one(&mut looking)
        .await
        .unwrap();
    assert_eq!(name, "to look at");
    assert!(
        harness
            .clean_up()
            .await
            .unwrap()
            .held
            .contains(&kept.name().to_owned())
    );
    sqlx::Connection::close(looking).await.unwrap();
    assert!(
        harness
            .clean_up()
            .await
            .unwrap()
            .dropped
            .contains(&kept.name().to_owned())
    );
    harness.tx().await.unwrap().close().await.unwrap();
}

/// As an autovacuum worker on a lane is: an ordinary role may not end it, and it goes after a while.
#[tokio::test]
async fn a_session_that_we_may_not_end_is_waited_for() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let harness = outside.builder(&url).build().unwrap();
    let database = harness.database().await.unwrap();
    let name = database.name().to_owned();
    sqlx::raw_sql("create table extra (id int)")
        .execute(&database.pool())
        .await
        .unwrap();
    let options = PgConnectOptions::new_without_pgpass()
        .socket(outside.scratch.path("outside"))
        .port(outside.port());
    let options = options
        .ssl_mode(PgSslMode::Disable)
        .username("postgres")
        .database(&name);
    let theirs = PgConnection::connect_with(&options).await.unwrap();
    database.close().await.unwrap();
    let dropping = "select query from pg_stat_activity where state = 'active' and query like 'drop database%' \
                    and query not like '%force%'";
    outside
        .until("the database is dropped", dropping, |queries| {
            queries.len() == 1
        })
        .await;
    theirs.close().await.unwrap();
    let there = format!("select datname::text from pg_database where datname = '{name}'");
    outside
        .until("it is copied anew", &there, |names| names.len() == 1)
        .await;
    let next = harness.database().await.unwrap();
    let extra: Option<String> = sqlx::query_scalar("select to_regclass('extra')::text")
        .fetch_one(&next.pool())
        .await
        .unwrap();
    assert_eq!(extra, None);
    next.close().await.unwrap();
}
