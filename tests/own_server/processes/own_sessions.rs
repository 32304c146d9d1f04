//! Sessions that ebbtide itself opens, on a server where settings of the server, a role or a
//! database apply to every new session.

use ebbtide::{Harness, Setup};
use sqlx::Row as _;

use crate::support::pool_sql::{number, run_read_write};
use crate::support::sql::text;
use crate::support::{Scratch, runs_natively, this_test};

/// Uses every feature of a harness.
async fn everything_works(harness: &Harness) {
    let provisioned = harness.provision().await.unwrap();
    assert_eq!(provisioned.provisioned.rows["things"], 1);
    for _ in 0..2 {
        let mut tx = harness.tx().await.unwrap();
        sqlx::query("insert into things (name) values ('two')")
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.close().await.unwrap();
        let sandbox = harness.sandbox().await.unwrap();
        sqlx::query("insert into things (name) values ('two')")
            .execute(&*sandbox)
            .await
            .unwrap();
        sandbox.close().await.unwrap();
        let database = harness.database().await.unwrap();
        // The settings make sessions of the user read-only.
        let pool = database.pool();
        run_read_write(&pool, "insert into things (name) values ('two')").await;
        assert_eq!(number(&pool, "select count(*) from things").await, 2);
        let drift = harness.diff(database.url()).await.unwrap();
        assert!(drift.is_clean(), "{drift}");
        database.close().await.unwrap();
    }
    let layered = harness
        .with_setup(Setup::new().fixture("more.sql", "insert into things (name) values ('more')"));
    let mut tx = layered.tx().await.unwrap();
    let count: i64 = sqlx::query_scalar("select count(*) from things")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(count, 2);
    tx.close().await.unwrap();
    let report = harness.check_reversible().await.unwrap();
    assert!(report.is_clean(), "{report}");
    let health = harness.health().await;
    assert!(health.is_clean(), "{health}");
    harness.clean_up().await.unwrap();
}

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let up = "create schema app; create table public.things (id bigserial primary key, name text);";
    scratch.write("migrations/1_things.up.sql", up);
    scratch.write(
        "migrations/1_things.down.sql",
        "drop table public.things; drop schema app;",
    );
    scratch.write(
        "seeds/things.sql",
        "insert into public.things (name) values ('one');",
    );
    scratch
}

#[tokio::test]
async fn hostile_settings_of_the_server_do_not_affect_sessions_of_ebbtide() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = scratch();
    let hostile = [
        ("default_transaction_read_only", "on"),
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_deferrable", "on"),
        ("idle_session_timeout", "60s"),
        ("idle_in_transaction_session_timeout", "20s"),
        ("lock_timeout", "20ms"),
        ("statement_timeout", "5s"),
        ("search_path", "app, public"),
        ("standard_conforming_strings", "off"),
        ("quote_all_identifiers", "on"),
        ("check_function_bodies", "off"),
        ("bytea_output", "escape"),
        ("intervalstyle", "sql_standard"),
        ("client_min_messages", "error"),
        ("transform_null_equals", "on"),
        ("array_nulls", "off"),
        ("exit_on_error", "off"),
        ("stats_fetch_consistency", "snapshot"),
    ];
    let builder = hostile
        .iter()
        .fold(scratch.own_server(), |builder, (name, value)| {
            builder.setting(*name, *value)
        });
    let harness = builder.build().unwrap();
    everything_works(&harness).await;
    // A test's own session has these settings.
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(text(&mut tx, "show search_path").await, "app, public");
    assert_eq!(text(&mut tx, "show lock_timeout").await, "20ms");
    tx.close().await.unwrap();
    drop(harness);
}

#[tokio::test]
async fn settings_that_migrations_store_do_not_affect_sessions_of_ebbtide() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = scratch();
    // Tests never use the database `postgres`, but ebbtide's administrative sessions do. So it can
    // have settings that would break any test, such as a statement timeout of 1 ms.
    let up = "create role weak; \
              alter database postgres set role = 'weak'; \
              alter database postgres set statement_timeout = '1ms'; \
              alter database postgres set session_replication_role = 'replica'; \
              alter role all set default_transaction_read_only = on; \
              alter role current_user set search_path = app, public; \
              alter role current_user set default_transaction_isolation = 'serializable'; \
              alter role current_user set idle_session_timeout = '60s'; \
              alter role current_user set lock_timeout = '20ms'; \
              alter role current_user set plpgsql.extra_errors = 'all'; \
              alter role current_user set plpgsql.variable_conflict = 'use_column';";
    scratch.write("migrations/2_settings.up.sql", up);
    let down = "alter database postgres reset all; alter role all reset all; alter role current_user reset all; drop role weak;";
    scratch.write("migrations/2_settings.down.sql", down);
    for (number, setting) in [
        "row_security = off",
        "bytea_output = 'escape'",
        "standard_conforming_strings = off",
    ]
    .iter()
    .enumerate()
    {
        let system = format!("-- no-transaction\nalter system set {setting}");
        scratch.write(&format!("migrations/{}_system.sql", number + 3), &system);
    }
    scratch.write("migrations/6_reload.sql", "select pg_reload_conf();");
    let harness = scratch.own_server().build().unwrap();
    everything_works(&harness).await;
    let mut tx = harness.tx().await.unwrap();
    let row = sqlx::query(
        "select current_setting('search_path'), current_setting('idle_session_timeout'), current_setting('bytea_output')",
    );
    let row = row.fetch_one(&mut *tx).await.unwrap();
    let values: Vec<String> = (0..3).map(|at| row.get(at)).collect();
    assert_eq!(values, ["app, public", "1min", "escape"]);
    tx.close().await.unwrap();
    drop(harness);
}
