//! What a comparison leaves out when the caller names it, and what a role may not read.

use ebbtide::schema::{Aspect, Schema};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::support::schema_pieces::ROLES;
use crate::support::shop::{MIGRATION, shop_harness};
use crate::support::{Scratch, runs_natively, this_test};

/// An aspect, a change that only it covers, and the changed object.
const CHANGES: [(Aspect, &str, &str); 13] = [
    (
        Aspect::ExtensionVersions,
        "update pg_extension set extversion = '0.9' where extname = 'citext'",
        "extension citext",
    ),
    (
        Aspect::Population,
        "refresh materialized view totals with no data",
        "materialized view totals",
    ),
    (
        Aspect::ColumnOrder,
        "alter table rooms drop column id; alter table rooms add column id int",
        "table rooms",
    ),
    (
        Aspect::Owners,
        "alter table rooms owner to ebbtide_owner",
        "table rooms",
    ),
    (
        Aspect::Owners,
        "alter function plus(int) owner to ebbtide_owner",
        "function plus(a integer)",
    ),
    (
        Aspect::Privileges,
        "grant select on rooms to ebbtide_reader",
        "table rooms",
    ),
    (
        Aspect::Privileges,
        "grant select (id) on rooms to ebbtide_reader",
        "column rooms.id",
    ),
    (
        Aspect::Privileges,
        "alter default privileges grant select on tables to ebbtide_reader",
        "default privileges on tables",
    ),
    (
        Aspect::Privileges,
        "revoke execute on function now() from public",
        "privileges of function pg_catalog.now()",
    ),
    (
        Aspect::Comments,
        "comment on column rooms.during is 'when'",
        "column rooms.during",
    ),
    (
        Aspect::Comments,
        "comment on constraint phone_check on domain phone is 'with a plus'",
        "domain phone",
    ),
    (
        Aspect::SecurityLabels,
        "insert into pg_seclabel values ('rooms'::regclass, 'pg_class'::regclass, 0, 'none', 'x')",
        "table rooms",
    ),
    (
        Aspect::Tablespaces,
        "alter table rooms set tablespace elsewhere",
        "table rooms",
    ),
];

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[tokio::test]
async fn an_aspect_is_compared_unless_the_caller_names_it() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_shop.sql", MIGRATION);
    let harness = scratch
        .own_server()
        .setting("allow_in_place_tablespaces", "on")
        .setting("allow_system_table_mods", "on")
        .build()
        .unwrap();
    let database = harness.database().await.unwrap();
    let mut connection = database.pool().acquire().await.unwrap();
    run(&mut connection, ROLES).await;
    run(&mut connection, "create extension citext").await;
    run(&mut connection, "create tablespace elsewhere location ''").await;
    let mut before = Schema::read(&mut connection).await.unwrap();
    for (aspect, change, object) in CHANGES {
        run(&mut connection, change).await;
        let after = Schema::read(&mut connection).await.unwrap();
        let diff = before.compare(&after);
        let objects = diff.extra.iter();
        let changed = diff.different.iter().map(|difference| &difference.object);
        let objects: Vec<String> = objects.chain(changed).map(ToString::to_string).collect();
        assert_eq!(objects, [object], "{change}: {diff}");
        let diff = before
            .without(aspect)
            .compare(&after.clone().without(aspect));
        assert!(diff.is_clean(), "{change}: {diff}");
        before = after;
    }
    // `diff` passes the names on.
    let url = database.url();
    let aspects = CHANGES.map(|(aspect, ..)| aspect);
    let report = harness.diff_without(url, &aspects).await.unwrap();
    assert_eq!(
        report.diff.to_string(),
        "extra (1):\n  extension citext",
        "{report}"
    );
    drop(connection);
    database.close().await.unwrap();
}

/// A subscription and a user mapping, whose passwords the reading role may not see.
const SECRETS: &str = "
    create subscription news connection 'dbname=x password=s3cret' publication a
        with (connect = false, slot_name = none);
    create foreign data wrapper wrap; create server away foreign data wrapper wrap;
    create user mapping for public server away options (\"user\" 'u', password 's3cret');
";

#[tokio::test]
async fn a_password_is_compared_and_never_printed() {
    // CREATE SUBSCRIPTION needs a superuser.
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let harness = shop_harness(&scratch);
    let database = harness.database().await.unwrap();
    let mut connection = database.pool().acquire().await.unwrap();
    run(&mut connection, ROLES).await;
    run(&mut connection, SECRETS).await;
    let before = Schema::read(&mut connection).await.unwrap();
    // Another role reads less, and that is no difference.
    run(&mut connection, "set role ebbtide_reader").await;
    let read_by_other = Schema::read(&mut connection).await.unwrap();
    run(&mut connection, "reset role").await;
    let diff = before.compare(&read_by_other);
    assert!(diff.is_clean(), "{diff}");
    run(
        &mut connection,
        "alter subscription news connection 'dbname=x password=an0ther'",
    )
    .await;
    run(
        &mut connection,
        "alter user mapping for public server away options (set password 'an0ther')",
    )
    .await;
    let after = Schema::read(&mut connection).await.unwrap();
    let diff = before.compare(&after);
    let text = format!("{diff} {diff:?} {before:?} {after:?}");
    assert!(
        !text.contains("s3cret") && !text.contains("an0ther"),
        "{text}"
    );
    insta::assert_snapshot!(diff, @r"
    different (2):
      user mapping for public on server away
        expected: password: ***
        found:    password: another one
      subscription news
        expected: password: ***
        found:    password: another one
    ");
    drop(connection);
    database.close().await.unwrap();
}
