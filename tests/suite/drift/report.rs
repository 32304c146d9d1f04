//! The report of a comparison, as text and as JSON.

use std::fmt::Write as _;
use std::time::Instant;

use ebbtide::config::Expect;
use ebbtide::schema::{ObjectKind, Schema};

use crate::support::Scratch;
use crate::support::pool_sql::text;
use crate::support::shop::{changed, shop_harness};

const MIXED: &str = "
    drop table rooms;
    alter table customers drop column city cascade;
    create table visits (id int primary key);
    create index customers_name_idx on customers (name);
    alter table orders alter column cents drop not null;
    create or replace function plus(a int) returns int language plpgsql as $$
    begin
        return a + 2;
    end $$;
    comment on table orders is 'what was sold';
";

#[tokio::test]
async fn the_text_is_grouped_and_sorted() {
    let scratch = Scratch::new();
    let harness = shop_harness(&scratch);
    let database = changed(&harness, MIXED).await;
    let report = harness.diff(database.url()).await.unwrap();
    insta::assert_snapshot!(report, @r#"
    ledger expected: _sqlx_migrations claims 1 applied, the latest 1
    ledger found:    _sqlx_migrations claims 1 applied, the latest 1
    the ledgers agree, the schemas do not
    missing (4):
      table rooms
      column customers.city
      column customers.shown
      index customers_city_idx
    extra (2):
      table visits
      index customers_name_idx
    different (3):
      table orders
        expected: comment: what was bought
        found:    comment: what was sold
      column orders.cents
        expected: integer not null
        found:    integer
      function plus(a integer)
        expected:
           LANGUAGE sql
          AS $function$select a + 1$function$
        found:
           LANGUAGE plpgsql
          AS $function$
              begin
                  return a + 2;
              end $function$
    "#);
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_dirty_version_in_the_ledger_is_reported() {
    let scratch = Scratch::new();
    let harness = shop_harness(&scratch);
    let database = changed(&harness, "update _sqlx_migrations set success = false").await;
    let report = harness.diff(database.url()).await.unwrap();
    assert_eq!(
        report.found.ledger.as_ref().unwrap().dirty.as_deref(),
        Some("1")
    );
    insta::assert_snapshot!(report, @r"
    ledger expected: _sqlx_migrations claims 1 applied, the latest 1
    ledger found:    _sqlx_migrations claims that nothing was applied; 1 is dirty: it started and was never marked successful
    no difference
    ");
    database.close().await.unwrap();
}

#[tokio::test]
async fn the_json_holds_whole_definitions() {
    let scratch = Scratch::new();
    let harness = shop_harness(&scratch);
    let database = changed(
        &harness,
        "drop table rooms; create sequence seats; comment on table orders is null",
    )
    .await;
    let report = harness.diff(database.url()).await.unwrap();
    let role = text(&database.pool(), "select current_user::text").await;
    let json = serde_json::to_string_pretty(&report.diff).unwrap();
    insta::assert_snapshot!(json.replace(&format!("owner: {role}"), "owner: our role"), @r#"
    {
      "missing": [
        {
          "kind": "table",
          "name": "rooms"
        }
      ],
      "extra": [
        {
          "kind": "sequence",
          "name": "seats"
        }
      ],
      "different": [
        {
          "kind": "table",
          "name": "orders",
          "expected": "permanent\nowner: our role\ncomment: what was bought",
          "found": "permanent\nowner: our role"
        }
      ]
    }
    "#);
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_ledger_that_claims_the_head_does_not_hide_a_missing_table() {
    let scratch = Scratch::new();
    let harness = shop_harness(&scratch);
    let database = changed(&harness, "drop table rooms").await;
    let report = harness.diff(database.url()).await.unwrap();
    let claim = report.found.ledger.clone().unwrap();
    assert_eq!(
        (claim.table.as_str(), claim.latest.as_deref(), claim.applied),
        ("_sqlx_migrations", Some("1"), Some(1))
    );
    assert_eq!(report.expected.ledger, report.found.ledger);
    insta::assert_snapshot!(report, @r#"
    ledger expected: _sqlx_migrations claims 1 applied, the latest 1
    ledger found:    _sqlx_migrations claims 1 applied, the latest 1
    the ledgers agree, the schemas do not
    missing (1):
      table rooms
    "#);
    database.close().await.unwrap();
}

#[tokio::test]
async fn ledgers_of_other_tools_are_read() {
    let scratch = Scratch::new();
    let harness = scratch.builder().build().unwrap();
    for (sql, claim) in [
        (
            "create table alembic_version (version_num varchar(32)); insert into alembic_version values ('ae10')",
            "alembic_version claims 1 applied, the latest ae10",
        ),
        (
            "create table __diesel_schema_migrations (version varchar(50), run_on timestamp)",
            "__diesel_schema_migrations claims that nothing was applied",
        ),
        (
            "create table refinery_schema_history (version int, name text, applied_on text, checksum text); \
             insert into refinery_schema_history values (9), (10)",
            "refinery_schema_history claims 2 applied, the latest 10",
        ),
        (
            "create table flyway_schema_history (installed_rank int, version text, type text, script text, success bool); \
             insert into flyway_schema_history values (1, '1', 'SQL', 'a', true), (2, '10', 'SQL', 'b', true), \
             (3, null, 'SQL', 'c', true), (4, '11', 'SQL', 'd', false)",
            "flyway_schema_history claims 2 applied, the latest 10; 11 is dirty: it started and was never marked \
             successful",
        ),
        (
            "create table _sqlx_migrations (id int)",
            "_sqlx_migrations cannot be read",
        ),
    ] {
        let database = changed(&harness, sql).await;
        let report = harness.diff(database.url()).await.unwrap();
        assert_eq!(report.expected.ledger, None);
        assert_eq!(report.found.ledger.unwrap().to_string(), claim);
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_migration_may_create_another_tools_ledger() {
    let scratch = Scratch::new();
    let created =
        "create table alembic_version (version_num varchar(32)); create table users (id int)";
    scratch.write("migrations/1_taken_over.sql", created);
    let built = scratch
        .builder()
        .expect(Expect::new().table("alembic_version"))
        .build()
        .unwrap()
        .provision()
        .await
        .unwrap();
    // A ledger does not count as a table of the application.
    assert_eq!(built.provisioned.rows.keys().collect::<Vec<_>>(), ["users"]);
}

#[tokio::test]
async fn an_unusable_url_is_reported_with_a_remedy_and_without_the_password() {
    let scratch = Scratch::new();
    let harness = shop_harness(&scratch);
    let mut errors = String::new();
    for url in [
        "postgres://me:s3cret@[::1/app",
        "postgres://me:s3cret@127.0.0.1:1/app?sslmode=disable",
    ] {
        let error = harness
            .diff(url)
            .await
            .expect_err("no server listens there");
        assert!(error.help().is_some(), "{error:?}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        writeln!(errors, "{:?}: {error}", error.kind()).unwrap();
    }
    let database = harness.database().await.unwrap();
    let url = database.url().replace(database.name(), "nowhere");
    let error = harness
        .diff(&url)
        .await
        .expect_err("there is no such database");
    assert!(
        error.to_string().ends_with("has no database nowhere"),
        "{error}"
    );
    writeln!(errors, "{:?}: {}", error.kind(), error.help().unwrap()).unwrap();
    database.close().await.unwrap();
    insta::assert_snapshot!(errors, @r#"
    Config: the URL postgres://me:***@[::1/app cannot be parsed
    BackendUnavailable: no server answers at 127.0.0.1:1 (postgres://me:***@127.0.0.1:1/app?sslmode=disable)
    Config: correct the database's name in the URL
    "#);
}

#[tokio::test]
async fn a_schema_of_500_tables_is_read_completely() {
    let scratch = Scratch::new();
    let harness = scratch.builder().build().unwrap();
    let many = "do $$ begin for n in 1..500 loop execute format( \
        'create table t_%s (id bigserial primary key, name text not null, at timestamptz default now(), \
         other bigint references t_1, unique (name)); create index on t_%1$s (at)', n); end loop; end $$";
    let database = changed(&harness, &many.replace("t_%s", "t_%1$s")).await;
    let mut connection = database.pool().acquire().await.unwrap();
    let start = Instant::now();
    let schema = Schema::read(&mut connection).await.unwrap();
    let duration = start.elapsed();
    let count = |kind| {
        schema
            .objects()
            .filter(|(object, _)| object.kind == kind)
            .count()
    };
    assert_eq!(count(ObjectKind::Table), 500);
    assert_eq!(count(ObjectKind::Column), 2000);
    assert_eq!(count(ObjectKind::Constraint), 1500);
    assert_eq!(
        (count(ObjectKind::Index), count(ObjectKind::Sequence)),
        (500, 500)
    );
    println!("500 tables read in {duration:?}");
    assert_eq!(schema.compare(&schema.clone()).to_string(), "no difference");
    drop(connection);
    database.close().await.unwrap();
}
