//! What a `Database` guarantees: the test has a database to itself, and the next test finds it
//! unchanged.

use crate::support::Scratch;
use crate::support::pool_sql::{number, run};
use crate::support::sql::{DATABASE_OID, is_superuser, text_at};
use ebbtide::{Database, Harness};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

const MIGRATION: &str = "
    create type mood as enum ('calm', 'stormy');
    create table customers (id bigint generated always as identity primary key, name text not null unique, mood mood);
    create table orders (id serial primary key, customer bigint not null references customers);
    create table prices (id int primary key, cents int not null, shown text generated always as (cents::text || ' c') stored);
    create table ledger (day date, amount int) partition by range (day);
    create table ledger_2026 partition of ledger for values from ('2026-01-01') to ('2027-01-01');
    create materialized view totals as select count(*) as prices from prices;
    create function forbid() returns trigger language plpgsql as $$ begin raise exception 'never'; end $$;
    create trigger forbid before delete on prices for each row execute function forbid();
    insert into prices select n, n * 100 from generate_series(1, 20) n;
    create sequence tickets start 100;
";

fn harness(scratch: &Scratch) -> Harness {
    scratch.harness("1_shop.sql", MIGRATION)
}

/// The database's OID, which differs after a copy.
async fn oid(database: &Database) -> i64 {
    number(&database.pool(), DATABASE_OID).await
}

async fn assert_is_new(database: &Database) {
    let pool = database.pool();
    assert_eq!(number(&pool, "select count(*) from customers").await, 0);
    assert_eq!(number(&pool, "select count(*) from ledger").await, 0);
    assert_eq!(number(&pool, "select nextval('tickets')").await, 100);
    assert_eq!(
        number(
            &pool,
            "insert into customers (name) values ('first') returning id"
        )
        .await,
        1
    );
    let prices: Vec<(i32, i32, String)> = sqlx::query_as("select id, cents, shown from prices")
        .fetch_all(&pool)
        .await
        .unwrap();
    let expected: Vec<_> = (1..=20)
        .map(|n| (n, n * 100, format!("{} c", n * 100)))
        .collect();
    assert_eq!(prices, expected, "the rows, in their original order");
}

/// Runs SQL in one test. Returns whether the next test gets the same database, reset, and not a
/// copy.
async fn is_reset_after(harness: &Harness, sql: &str) -> bool {
    let one = harness.database().await.unwrap();
    let before = oid(&one).await;
    run(&one.pool(), sql).await;
    one.close().await.unwrap();
    let mut all = Vec::new();
    let mut same = false;
    // The lane may return only after the next test has received another one, so two tests look for
    // it.
    for _ in 0..2 {
        let next = harness.database().await.unwrap();
        same |= oid(&next).await == before;
        assert_is_new(&next).await;
        all.push(next);
    }
    for database in all {
        database.close().await.unwrap();
    }
    same
}

/// Whether the role is a superuser. A reset must keep triggers from firing, which only a superuser
/// may.
async fn can_reset(database: &Database) -> bool {
    is_superuser(&mut database.pool().acquire().await.unwrap()).await
}

#[tokio::test]
async fn changed_rows_are_reset_without_a_copy() {
    let scratch = Scratch::new();
    // A template of its own: the rollbacks of other tests count as writes, and only a superuser can
    // reset the counters.
    scratch.write(
        "migrations/2_own.sql",
        "comment on table orders is 'of one test'",
    );
    let harness = harness(&scratch);
    let database = harness.database().await.unwrap();
    let resets = can_reset(&database).await;
    database.close().await.unwrap();
    for sql in [
        "insert into customers (name, mood) values ('Laura', 'calm'), ('Marta', 'stormy')",
        "insert into customers (name) values ('Laura'); insert into orders (customer) values (1)",
        "update prices set cents = 1 where id = 7",
        "insert into prices values (21, 5)",
        "insert into ledger values ('2026-05-01', 3)",
        "begin; insert into customers (name) values ('undone'); rollback",
        "insert into customers (name) select 'customer ' || n || repeat('x', 500) from generate_series(1, 20000) n",
    ] {
        assert_eq!(is_reset_after(&harness, sql).await, resets, "{sql}");
    }
    let sequences = "select nextval('tickets'), setval('customers_id_seq', 1000)";
    // On an external server, autovacuum may write to a lane, which is copied then. So one reset of
    // three is enough.
    let mut reset = false;
    for _ in 0..3 {
        reset |= is_reset_after(&harness, sequences).await;
    }
    assert!(reset);
    // DDL writes new catalog rows, even if the schema is the same afterwards.
    let no_net_change =
        "alter table prices disable trigger forbid; alter table prices enable trigger forbid";
    assert!(!is_reset_after(&harness, no_net_change).await);
}

#[tokio::test]
async fn a_change_of_anything_but_rows_causes_a_copy() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for sql in [
        "create table extra (id int)",
        "drop table orders",
        "create function extra() returns int language sql as 'select 1'",
        "alter type mood add value 'foggy'",
        "comment on table customers is 'changed'",
        "grant select on customers to public",
        "truncate prices",
        "analyze prices",
        "refresh materialized view totals",
        "select lo_create(0)",
        "do $$ begin execute format('alter database %I set work_mem = ''1MB''', current_database()); end $$",
        "create schema extra; create table extra.t as select 1 as one",
    ] {
        assert!(!is_reset_after(&harness, sql).await, "{sql}");
    }
}

#[tokio::test]
async fn a_renamed_column_of_a_materialized_view_causes_a_copy() {
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_view.sql",
        "create table t (id int); create materialized view v as select 1 as one; create unique index on v (one);",
    );
    let harness = scratch.builder().build().unwrap();
    let one = harness.database().await.unwrap();
    let before = oid(&one).await;
    run(
        &one.pool(),
        "alter materialized view v rename column one to two",
    )
    .await;
    one.close().await.unwrap();
    let next = harness.database().await.unwrap();
    assert_ne!(oid(&next).await, before);
    next.close().await.unwrap();
}

#[tokio::test]
async fn several_databases_in_one_test_are_independent() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let (one, two) = (
        harness.database().await.unwrap(),
        harness.database().await.unwrap(),
    );
    assert_ne!(one.name(), two.name());
    run(
        &one.pool(),
        "insert into customers (name) values ('only here')",
    )
    .await;
    assert_eq!(
        number(&two.pool(), "select count(*) from customers").await,
        0
    );
    one.close().await.unwrap();
    two.close().await.unwrap();
}

#[tokio::test]
async fn a_commit_is_visible_to_every_connection() {
    let scratch = Scratch::new();
    let database = harness(&scratch).database().await.unwrap();
    let pool = database.pool();
    run(&pool, "insert into customers (name) values ('Laura')").await;
    let mut other = PgConnection::connect_with(&database.connect_options())
        .await
        .unwrap();
    let mut third = PgConnection::connect(database.url()).await.unwrap();
    for connection in [&mut other, &mut third] {
        let seen: i64 = sqlx::query_scalar("select count(*) from customers")
            .fetch_one(connection)
            .await
            .unwrap();
        assert_eq!(seen, 1);
    }
    let mut transaction = pool
        .begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE")
        .await
        .unwrap();
    let level: String = sqlx::query_scalar("show transaction_isolation")
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(level, "serializable");
    drop(transaction);
    database.close().await.unwrap();
}

#[tokio::test]
async fn open_sessions_are_terminated_when_the_database_is_closed() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let database = harness.database().await.unwrap();
    let mut left = PgConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql("begin; insert into customers (name) values ('open')")
        .execute(&mut left)
        .await
        .unwrap();
    database.close().await.unwrap();
    let late = sqlx::raw_sql("commit")
        .execute(&mut left)
        .await
        .unwrap_err();
    assert!(
        late.to_string().contains("terminating connection") || matches!(late, sqlx::Error::Io(_)),
        "{late}"
    );
    let next = harness.database().await.unwrap();
    assert_is_new(&next).await;
    next.close().await.unwrap();
}

#[tokio::test]
async fn a_test_may_drop_its_own_database() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let database = harness.database().await.unwrap();
    let elsewhere = database.connect_options().database("template1");
    let mut admin = PgConnection::connect_with(&elsewhere).await.unwrap();
    let drop = format!("drop database {} with (force)", database.name());
    sqlx::raw_sql(AssertSqlSafe(drop))
        .execute(&mut admin)
        .await
        .unwrap();
    admin.close().await.unwrap();
    database.close().await.unwrap();
    let next = harness.database().await.unwrap();
    assert_is_new(&next).await;
    next.close().await.unwrap();
}

#[tokio::test]
async fn a_database_is_reset_also_when_it_is_dropped() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for _ in 0..5 {
        let database = harness.database().await.unwrap();
        assert_is_new(&database).await;
    }
}

#[tokio::test]
async fn a_kept_database_has_the_tests_rows() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let database = harness.database().await.unwrap();
    run(
        &database.pool(),
        "insert into customers (name) values ('Laura')",
    )
    .await;
    let kept = database.keep().await.unwrap();
    let name = text_at(&kept.url, "select name from customers").await;
    assert_eq!(name, "Laura");
}

#[tokio::test]
async fn transactions_and_databases_share_the_lanes() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for _ in 0..3 {
        let database = harness.database().await.unwrap();
        assert_is_new(&database).await;
        database.close().await.unwrap();
        let mut tx = harness.tx().await.unwrap();
        let id: i64 =
            sqlx::query_scalar("insert into customers (name) values ('first') returning id")
                .fetch_one(&mut *tx)
                .await
                .unwrap();
        assert_eq!(id, 1);
        tx.close().await.unwrap();
        let sandbox = harness.sandbox().await.unwrap();
        assert_eq!(
            number(
                &sandbox,
                "insert into customers (name) values ('first') returning id"
            )
            .await,
            1
        );
        sandbox.close().await.unwrap();
    }
}

#[test]
fn a_blocking_test_gets_a_database() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let database = ebbtide::blocking::database_of(&harness).unwrap();
    let output = std::process::Command::new("psql")
        .args([
            database.url(),
            "-Atc",
            "insert into customers (name) values ('by psql') returning id",
        ])
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).starts_with("1\n"),
        "{output:?}"
    );
    ebbtide::blocking::close(database).unwrap();
    let again = ebbtide::blocking::database_of(&harness).unwrap();
    let kept = ebbtide::blocking::keep(again).unwrap();
    assert!(kept.url.contains("ebbtide_k_"), "{kept}");
}

/// ebbtide's own statements about a table must not confuse its columns with their own names.
#[tokio::test]
async fn columns_may_have_any_name() {
    let scratch = Scratch::new();
    let migration = "
        create table sites (page int, item text, number int, fetched text, ctid_ tid, value int, relation int, source text);
        insert into sites select n, 'item ' || n, 7, 'yes', '(0,1)', n, 1, 'here' from generate_series(1, 500) n;
        create table page (sites text); insert into page values ('one'); update page set sites = 'two';
        create table \"select\" (\"from\" int, \"where\" text); insert into \"select\" values (1, 'x');
        create table seen (rows int, changed xid, before int, present text, restored text);
        insert into seen values (1, '3', 1, 'a', 'b');";
    scratch.write("migrations/1_sites.sql", migration);
    let harness = scratch.builder().build().unwrap();
    for _ in 0..2 {
        let database = harness.database().await.unwrap();
        let pool = database.pool();
        let pages: Vec<i32> = sqlx::query_scalar("select page from sites")
            .fetch_all(&pool)
            .await
            .unwrap();
        assert_eq!(pages, (1..=500).collect::<Vec<_>>());
        let rest = "select (select count(*) from page) + (select count(*) from \"select\") + (select count(*) from seen)";
        assert_eq!(number(&pool, rest).await, 3);
        run(&pool, "delete from sites where page > 7; update page set sites = 'three'; delete from \"select\"").await;
        run(
            &pool,
            "update seen set rows = 2; insert into sites (page) values (0)",
        )
        .await;
        database.close().await.unwrap();
        let mut tx = harness.tx().await.unwrap();
        let pages: i64 = sqlx::query_scalar("select sum(page) from sites")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(pages, 500 * 501 / 2);
        tx.close().await.unwrap();
    }
}

/// If such a name made the reset fail, every test would get a copy: correct, but slow.
#[tokio::test]
async fn columns_named_like_the_variables_of_the_reset_do_not_hinder_it() {
    let scratch = Scratch::new();
    let migration = "
        create table reset (before int, self int, present int, changed int, restoring int, is_restored int,
            is_superuser int, statement int, ignored int, oldest int);
        insert into reset values (1, 2, 3, 4, 5, 6, 7, 8, 9, 10); create table notes (oldest int);";
    scratch.write("migrations/1_reset.sql", migration);
    let harness = scratch.own_server().build().unwrap();
    let (mut oids, mut resets) = (Vec::new(), false);
    for _ in 0..3 {
        let database = harness.database().await.unwrap();
        let pool = database.pool();
        resets = can_reset(&database).await;
        assert_eq!(
            number(
                &pool,
                "select (select count(*) from notes) + (select sum(oldest) from reset)"
            )
            .await,
            10
        );
        oids.push(oid(&database).await);
        run(&pool, "insert into notes values (1)").await;
        database.close().await.unwrap();
    }
    // Without superuser rights, every database is copied. On an external server, autovacuum may
    // write to a lane, which is copied then.
    assert_eq!(
        oids.windows(2).any(|pair| pair[0] == pair[1]),
        resets,
        "{oids:?}"
    );
}
