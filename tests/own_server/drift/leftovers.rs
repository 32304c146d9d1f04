//! Objects that a copy of a database lacks, or that prevent a database from being dropped.

use std::path::Path;
use std::process::{Command, Stdio};

use ebbtide::{ErrorKind, Harness};
use sqlx::{Connection as _, PgConnection};

use crate::support::pool_sql::{run, text};
use crate::support::{Scratch, runs_natively, this_test};

const SUBSCRIPTION: &str = "
    create table t (id int);
    create subscription news connection 'host=localhost dbname=elsewhere password=it''s' publication one, \"Two\"
        with (connect = false, slot_name = 'a_slot', binary = true, synchronous_commit = 'remote_apply', streaming = true);
    comment on subscription news is 'what is new';
    create subscription quiet connection 'dbname=elsewhere' publication one with (connect = false, slot_name = none);
";

/// A harness on a server of its own, which allows prepared transactions and logical replication.
fn own_server(scratch: &Scratch) -> Harness {
    let settings = [
        ("max_prepared_transactions", "8"),
        ("wal_level", "logical"),
        ("max_wal_senders", "4"),
    ];
    settings
        .iter()
        .fold(scratch.own_server(), |builder, (name, value)| {
            builder.setting(*name, *value)
        })
        .build()
        .unwrap()
}

const SUBSCRIPTIONS: &str = "select string_agg(concat(to_jsonb(s) - 'oid' - 'subdbid', obj_description(s.oid, 'pg_subscription')), \
     e'\\n' order by subname) from pg_subscription s join pg_database d on d.oid = subdbid where datname = current_database()";

#[tokio::test]
async fn a_disabled_subscription_is_in_every_lane() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_news.sql", SUBSCRIPTION);
    let harness = scratch.builder().build().unwrap();
    let plain = harness
        .with_setup(ebbtide::Setup::new().without_migrations())
        .database()
        .await
        .unwrap();
    run(&plain.pool(), SUBSCRIPTION).await;
    let expected = text(&plain.pool(), SUBSCRIPTIONS).await;
    assert!(
        expected.contains("a_slot") && expected.contains("what is new"),
        "{expected}"
    );
    for _ in 0..2 {
        let (one, other) = (
            harness.database().await.unwrap(),
            harness.database().await.unwrap(),
        );
        for lane in [one, other] {
            assert_eq!(text(&lane.pool(), SUBSCRIPTIONS).await, expected);
            assert_eq!(
                text(&lane.pool(), "select count(*)::text from t").await,
                "0"
            );
            run(
                &lane.pool(),
                "insert into t values (1); alter subscription news set (binary = false)",
            )
            .await;
            lane.close().await.unwrap();
        }
    }
    plain.close().await.unwrap();
}

#[tokio::test]
async fn a_lane_with_a_subscription_is_used_again_after_rows_were_written() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_news.sql", SUBSCRIPTION);
    let harness = scratch.builder().build().unwrap();
    let oid = "select oid::text from pg_database where datname = current_database()";
    let lane = harness.database().await.unwrap();
    let before = text(&lane.pool(), oid).await;
    run(&lane.pool(), "insert into t values (1)").await;
    lane.close().await.unwrap();
    let (one, other) = (
        harness.database().await.unwrap(),
        harness.database().await.unwrap(),
    );
    let after = [text(&one.pool(), oid).await, text(&other.pool(), oid).await];
    assert!(after.contains(&before), "{before} is not among {after:?}");
    one.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn an_object_that_cannot_be_copied_is_refused_with_a_remedy() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let cases = [
        (
            "begin; insert into t0 values (1); prepare transaction 'left'",
            "the prepared transaction 'left'",
            "COMMIT PREPARED",
        ),
        (
            "select pg_create_logical_replication_slot('stray', 'pgoutput') from pg_database where datname = current_database()",
            "the replication slot stray",
            "in the test that uses it",
        ),
        (
            "create subscription live connection 'host=127.0.0.1 port=1' publication p with (connect = false); \
             alter subscription live enable",
            "the subscription live, which replicates",
            "connect = false",
        ),
        (
            "do $$ begin execute format('create view named as select %L::text as name', current_database()); end $$",
            "view public.named, which contains the name",
            "current_database()",
        ),
    ];
    for (number, (sql, left, remedy)) in cases.into_iter().enumerate() {
        scratch.write(
            "migrations/1_left.sql",
            &format!("-- no-transaction\ncreate table t{number} (id int)"),
        );
        scratch.write(
            "migrations/2_left.sql",
            &format!("-- no-transaction\n{sql}"),
        );
        let harness = own_server(&scratch);
        // The second build must remove what the first one left, and fail with the same error.
        for _ in 0..2 {
            let error = harness.database().await.expect_err(sql);
            assert_eq!(error.kind(), ErrorKind::Migration, "{error:?}");
            assert!(error.to_string().contains(left), "{error:?}");
            assert!(
                error.help().unwrap_or_default().contains(remedy),
                "{error:?}"
            );
        }
        let report = harness.clean_up().await.unwrap();
        assert_eq!(report.held, Vec::<String>::new(), "{sql}");
    }
}

#[tokio::test]
async fn a_failed_build_with_leftovers_reports_its_own_error_each_time() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_t.sql", SUBSCRIPTION);
    scratch.write(
        "migrations/3_prepared.sql",
        "-- no-transaction\nbegin; insert into t values (1); prepare transaction 'left'",
    );
    scratch.write(
        "migrations/2_slot.sql",
        "select pg_create_logical_replication_slot('stray', 'pgoutput')",
    );
    scratch.write("migrations/4_wrong.sql", "select 1 / 0");
    for _ in 0..2 {
        // A new harness, which builds again as another process would.
        let error = own_server(&scratch)
            .database()
            .await
            .expect_err("the last migration divides by zero");
        assert!(
            format!("{error:?}").contains("division by zero"),
            "{error:?}"
        );
    }
    assert_eq!(
        own_server(&scratch).clean_up().await.unwrap().held,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_lane_with_leftovers_can_be_used_by_the_next_test() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_t.sql", "create table t (id int)");
    let harness = own_server(&scratch);
    for round in 0..3 {
        let lane = harness.database().await.unwrap();
        let pool = lane.pool();
        // The slot first: its creation waits for transactions that were prepared before it.
        run(
            &pool,
            &format!("select pg_create_logical_replication_slot('stray_{round}', 'pgoutput')"),
        )
        .await;
        for number in 0..2 {
            run(
                &pool,
                &format!("begin; insert into t values ({number}); prepare transaction 'stray {round} {number}'"),
            )
            .await;
        }
        run(&pool, &format!("create subscription s connection 'dbname=x' publication p with (connect = false, slot_name = 'other_{round}')")).await;
        lane.close().await.unwrap();
        let (one, other) = (
            harness.database().await.unwrap(),
            harness.database().await.unwrap(),
        );
        for next in [one, other] {
            let left = "select concat((select count(*) from t), ' ', \
                (select count(*) from pg_prepared_xacts where database = current_database()), ' ', \
                (select count(*) from pg_replication_slots where database = current_database()), ' ', \
                (select count(*) from pg_subscription s join pg_database d on d.oid = subdbid where datname = current_database()))";
            assert_eq!(text(&next.pool(), left).await, "0 0 0 0");
            next.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_lane_with_a_walsender_can_be_used_by_the_next_test() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_t.sql", "create table t (id int)");
    let harness = own_server(&scratch);
    let lane = harness.database().await.unwrap();
    let (pool, name) = (
        lane.pool(),
        text(&lane.pool(), "select current_database()::text").await,
    );
    // The name up to the lane's number: the rest changes after each test.
    let name = format!("{}_", name.rsplit_once('_').unwrap().0);
    run(
        &pool,
        "select pg_create_logical_replication_slot('followed', 'pgoutput'); create publication p for all tables",
    )
    .await;
    let dir = text(&pool, "select setting from pg_config where name = 'BINDIR'").await;
    let mut follower = Command::new(Path::new(&dir).join("pg_recvlogical"))
        .args([
            "--start",
            "--no-loop",
            "--slot=followed",
            "--file=/dev/null",
        ])
        .args([
            "--option=proto_version=1",
            "--option=publication_names=p",
            "--dbname",
            lane.url(),
        ])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let active = "select count(*)::text from pg_replication_slots where active";
    let mut rounds = 0;
    while text(&pool, active).await != "1" {
        rounds += 1;
        assert!(
            rounds < 1000 && follower.try_wait().unwrap().is_none(),
            "the walsender has not started"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    lane.close().await.unwrap();
    // The lane may return only after the next tests have received other lanes.
    let mut all = Vec::new();
    while !all
        .iter()
        .any(|next: &ebbtide::Database| next.url().contains(&name))
    {
        assert!(all.len() < 25, "the lane must be used again");
        all.push(harness.database().await.unwrap());
    }
    for next in all {
        let left =
            "select count(*)::text from pg_replication_slots where database = current_database()";
        assert_eq!(text(&next.pool(), left).await, "0");
        next.close().await.unwrap();
    }
    // Ends because the server has terminated its session.
    follower.wait().unwrap();
}

#[tokio::test]
async fn a_database_name_that_a_migration_stored_becomes_the_lanes() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_names.sql",
        "create foreign data wrapper own;
         do $$ declare d text := current_database(); begin
            execute format('create server here foreign data wrapper own options (dbname %L, host ''localhost'')', d);
            execute format('create user mapping for public server here options (\"user\" ''u'', info ''in %s'')', d);
            execute format('create foreign table far (id int options (place %L)) server here options (place %L)', d, d);
            execute format('create function named() returns text language sql as ''select ''''%s''''::text''', d);
            execute format('create table t (id int, made_in text default %L)', d);
            execute format('alter database %I set app.own_name = %L', d, d);
            execute format('comment on database %I is ''the database %s''', d, d);
         end $$;",
    );
    let harness = scratch.builder().build().unwrap();
    let (one, other) = (
        harness.database().await.unwrap(),
        harness.database().await.unwrap(),
    );
    for lane in [one, other] {
        let pool = lane.pool();
        let name = text(&pool, "select current_database()::text").await;
        let all = "select concat_ws(' ', (select srvoptions::text from pg_foreign_server), \
                (select umoptions::text from pg_user_mapping), (select ftoptions::text from pg_foreign_table), \
                (select attfdwoptions::text from pg_attribute where attfdwoptions is not null), named(), \
                (select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = 't'::regclass), \
                current_setting('app.own_name'), (select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()))";
        let stored = text(&pool, all).await;
        assert_eq!(stored.matches(&name).count(), 8, "{stored}");
        assert!(!stored.contains("ebbtide_b_"), "{stored}");
        lane.close().await.unwrap();
    }
}

/// A reset gives a lane another name, so such a lane is copied instead.
#[tokio::test]
async fn a_lane_whose_schema_contains_its_name_has_the_right_one_in_each_test() {
    if !runs_natively(this_test!()) {
        return;
    }
    let places = [
        "create or replace function named() returns text language sql as %L', format('select %L::text', d)",
        "alter database %I set app.name = %L', d, d",
    ];
    for place in places {
        let scratch = Scratch::new();
        let migration = format!(
            "create table t (id int);
             create function named() returns text language sql as $$ select current_setting('app.name') $$;
             do $$ declare d text := current_database(); begin execute format('{place}); end $$;"
        );
        let harness = scratch.harness("1_names.sql", &migration);
        for _ in 0..3 {
            let lane = harness.database().await.unwrap();
            let pool = lane.pool();
            assert_eq!(text(&pool, "select named()").await, lane.name(), "{place}");
            run(&pool, "insert into t values (1)").await;
            lane.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_session_that_a_migration_left_open_does_not_prevent_sealing() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let open_session = std::sync::Arc::new(tokio::sync::Mutex::new(None));
    let holder = std::sync::Arc::clone(&open_session);
    let migrations =
        ebbtide::config::Migrations::function("leaves a session", move |url: String| {
            let holder = std::sync::Arc::clone(&holder);
            async move {
                let mut connection = PgConnection::connect(&url).await?;
                sqlx::raw_sql("create table t (id int)")
                    .execute(&mut connection)
                    .await?;
                *holder.lock().await = Some(connection);
                Ok::<(), sqlx::Error>(())
            }
        });
    let harness = scratch.builder().migrations(migrations).build().unwrap();
    let lane = harness.database().await.unwrap();
    assert_eq!(
        text(&lane.pool(), "select count(*)::text from t").await,
        "0"
    );
    lane.close().await.unwrap();
    let mut session = open_session.lock().await.take().unwrap();
    assert!(
        session.ping().await.is_err(),
        "the session must have been terminated"
    );
}
