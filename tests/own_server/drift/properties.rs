//! Properties that the server stores about a database: a lane has those that the migrations set.

use ebbtide::{Database, Harness, Setup};

use crate::support::pool_sql::{run, text};
use crate::support::{Scratch, runs_natively, this_test};

/// Roles belong to the server, so another test may have created them.
const ROLES: &str =
    "do $$ begin create role ebbtide_reader; exception when duplicate_object or unique_violation then null; end $$;
     do $$ begin create role ebbtide_owner; exception when duplicate_object or unique_violation then null; end $$;";

const MIGRATION: &str = r#"
    create schema app;
    create schema "My Schema";
    create table app.t (id int);
    do $do$ declare d text := quote_ident(current_database()); begin
        execute format('alter database %s set search_path = app, "My Schema", public', d);
        execute format('alter database %s set app.tenant = %L', d, 'it''s \ = "5"');
        execute format('alter database %s set work_mem = %L', d, '5MB');
        execute format('alter role ebbtide_reader in database %s set statement_timeout = %L', d, '7s');
        execute format('alter role ebbtide_reader in database %s set search_path = %L', d, '');
        execute format('alter database %s owner to ebbtide_owner', d);
        execute format('alter database %s connection limit 40', d);
        execute format('revoke connect, temporary on database %s from public', d);
        execute format('grant connect on database %s to ebbtide_reader with grant option', d);
        execute format('set local role ebbtide_reader; grant connect on database %s to pg_monitor; set local role none', d);
        execute format('grant create on database %s to ebbtide_reader', d);
        execute format('comment on database %s is %L', d, E'line 1\nit''s');
    end $do$;
"#;

/// All properties of the database as the catalogs store them, without its name.
const PROPERTIES: &str = "select concat_ws(e'\\n', pg_get_userbyid(datdba), datacl::text, datconnlimit, datistemplate, datallowconn, \
     pg_encoding_to_char(encoding), datcollate, datctype, dattablespace, to_jsonb(d) ->> 'datcollversion', \
     to_jsonb(d) ->> 'datlocprovider', \
     (select string_agg(setrole::regrole || ' ' || setconfig::text, e'\\n' order by setrole) from pg_db_role_setting \
         where setdatabase = d.oid), shobj_description(d.oid, 'pg_database')) \
     from pg_database d where datname = current_database()";

fn harness(scratch: &Scratch) -> Harness {
    scratch.write("migrations/1_roles.sql", ROLES);
    scratch.write("migrations/2_kept.sql", MIGRATION);
    scratch.write(
        "seeds/1_seen.sql",
        "create table public.seen as select current_setting('work_mem') as work_mem; insert into t values (1)",
    );
    scratch.builder().build().unwrap()
}

/// An empty database on which sqlx alone has run the migrations.
async fn migrated(harness: &Harness) -> Database {
    let database = harness
        .with_setup(Setup::new().without_migrations())
        .database()
        .await
        .unwrap();
    let mut connection = database.pool().acquire().await.unwrap();
    sqlx::raw_sql(ROLES)
        .execute(&mut *connection)
        .await
        .unwrap();
    sqlx::raw_sql(MIGRATION)
        .execute(&mut *connection)
        .await
        .unwrap();
    database
}

#[tokio::test]
async fn every_lane_has_the_properties_that_the_migrations_set() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let (one, plain) = (harness.database().await.unwrap(), migrated(&harness).await);
    let expected = text(&plain.pool(), PROPERTIES).await;
    assert_eq!(text(&one.pool(), PROPERTIES).await, expected);
    assert_eq!(
        text(&one.pool(), "select work_mem from public.seen").await,
        "5MB",
        "a seed runs with the settings of the database"
    );
    assert_eq!(
        text(&one.pool(), "select current_setting('search_path')").await,
        "app, \"My Schema\", public"
    );
    assert_eq!(
        text(&one.pool(), "select current_setting('app.tenant')").await,
        "it's \\ = \"5\""
    );
    let report = harness.diff(one.url()).await.unwrap();
    assert!(report.is_clean(), "{report}");
    one.close().await.unwrap();
    // A lane of a template that was made from another template.
    let with_fixture = harness
        .with_setup(Setup::new().fixture("more", "insert into t values (2)"))
        .database()
        .await
        .unwrap();
    assert_eq!(text(&with_fixture.pool(), PROPERTIES).await, expected);
    assert_eq!(
        text(&with_fixture.pool(), "select count(*)::text from t").await,
        "2"
    );
    with_fixture.close().await.unwrap();
    plain.close().await.unwrap();
    let mut tx = harness.tx().await.unwrap();
    let properties: String = sqlx::query_scalar(PROPERTIES)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(properties, expected);
    tx.close().await.unwrap();
}

/// A change, and what the comparison reports.
const CHANGES: [(&str, &str); 13] = [
    (
        "alter database %I set work_mem = '6MB'",
        "different database setting work_mem",
    ),
    (
        "alter database %I set lock_timeout = '6s'",
        "extra database setting lock_timeout",
    ),
    (
        "alter database %I reset work_mem",
        "missing database setting work_mem",
    ),
    (
        "alter role ebbtide_reader in database %I set statement_timeout = '8s'",
        "different database setting statement_timeout of role ebbtide_reader",
    ),
    (
        "alter role ebbtide_owner in database %I set statement_timeout = '8s'",
        "extra database setting statement_timeout of role ebbtide_owner",
    ),
    (
        "grant temporary on database %I to public",
        "different database privileges",
    ),
    (
        "revoke create on database %I from ebbtide_reader",
        "different database privileges",
    ),
    (
        "alter database %I owner to current_user",
        "different database owner",
    ),
    ("comment on database %I is null", "missing database comment"),
    (
        "comment on database %I is 'other'",
        "different database comment",
    ),
    (
        "alter database %I connection limit 41",
        "different database connection limit",
    ),
    (
        "alter database %I connection limit -1",
        "missing database connection limit",
    ),
    (
        "alter database %I is_template true",
        "extra database is_template",
    ),
];

#[tokio::test]
async fn a_changed_property_is_reported_by_a_comparison_and_restored_for_the_next_test() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let first = harness.database().await.unwrap();
    let expected = text(&first.pool(), PROPERTIES).await;
    first.close().await.unwrap();
    for (change, reported) in CHANGES {
        let database = harness.database().await.unwrap();
        run(
            &database.pool(),
            &format!("do $$ begin execute format($f${change}$f$, current_database()); end $$"),
        )
        .await;
        let diff = harness.diff(database.url()).await.unwrap().diff;
        let lists = [("missing", &diff.missing), ("extra", &diff.extra)];
        let mut all: Vec<String> = lists
            .iter()
            .flat_map(|(list, objects)| {
                objects.iter().map(move |object| format!("{list} {object}"))
            })
            .collect();
        all.extend(
            diff.different
                .iter()
                .map(|difference| format!("different {}", difference.object)),
        );
        assert_eq!(all, [reported], "{change}");
        database.close().await.unwrap();
        // The lane may return only after the next test has received another one, so two tests
        // check.
        let (one, other) = (
            harness.database().await.unwrap(),
            harness.database().await.unwrap(),
        );
        for next in [one, other] {
            assert_eq!(
                text(&next.pool(), PROPERTIES).await,
                expected,
                "after {change}"
            );
            next.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_lane_whose_database_has_settings_is_reset_and_used_again() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let oid = "select oid::text from pg_database where datname = current_database()";
    let one = harness.database().await.unwrap();
    let before = text(&one.pool(), oid).await;
    run(&one.pool(), "insert into app.t values (7)").await;
    one.close().await.unwrap();
    let (one, other) = (
        harness.database().await.unwrap(),
        harness.database().await.unwrap(),
    );
    let after = [text(&one.pool(), oid).await, text(&other.pool(), oid).await];
    assert!(after.contains(&before), "{before} is not among {after:?}");
    for next in [one, other] {
        assert_eq!(
            text(&next.pool(), "select count(*)::text from app.t").await,
            "1"
        );
        next.close().await.unwrap();
    }
}
