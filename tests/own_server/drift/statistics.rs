//! Statistics, plans and the order of rows must equal those of a database that sqlx itself
//! migrated.

use ebbtide::{Database, Harness, Setup};
use sqlx::AssertSqlSafe;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPool;

use crate::support::{Scratch, runs_natively, this_test};

const MIGRATION: &str = "
    create table empty (id int primary key, name text);
    create table seeded (id int primary key, name text);
    insert into seeded select n, repeat('x', 40) from generate_series(1, 500) n;
    create index seeded_name on seeded (name);
    create table analyzed (id int primary key, name text);
    insert into analyzed select n, 'name ' || n % 7 from generate_series(1, 3000) n;
    analyze analyzed;
    create table moved (id int primary key, name text) with (fillfactor = 100);
    insert into moved select n, repeat('a', 60) from generate_series(1, 160) n;
    create table family (id int, day date) partition by range (day);
    create table family_2026 partition of family for values from ('2026-01-01') to ('2027-01-01');
    insert into family select n, date '2026-01-01' + n from generate_series(1, 300) n;
    create materialized view summary as select name, count(*) from analyzed group by name;
";

/// Updates and deletes that leave the pages full of dead rows.
const CHANGES: &str = "
    update moved set name = repeat('b', 60) where id % 3 = 0;
    delete from moved where id % 5 = 0;
    update moved set name = repeat('c', 60) where id between 60 and 90;
    update seeded set name = 'y' where id % 2 = 0;
    delete from family where id % 4 = 0;
";

const TABLE_SIZES: &str = "select string_agg(format('%s %s %s %s', relname, reltuples, relpages, relallvisible), e'\\n' order by relname) \
     from pg_class where relnamespace = 'public'::regnamespace and relname not like '\\_sqlx%'";

const STATISTICS: &str = "select string_agg(format('%s.%s %s %s', tablename, attname, n_distinct, most_common_vals), e'\\n' order by 1) \
     from (select tablename, attname, n_distinct, most_common_vals from pg_stats where schemaname = 'public' order by 1, 2) s";

const QUERIES: [&str; 7] = [
    "select * from empty",
    "select * from empty where name = 'x'",
    "select * from seeded join empty using (id)",
    "select * from analyzed where name = 'name 3'",
    "select * from moved where name < 'b'",
    "select * from family where day > '2026-05-01'",
    "select * from summary",
];

/// The first statements of a test. They write before anything is read, so that they show where new
/// rows are stored.
const FIRST_WRITES: &str = "
    insert into moved select n, repeat('d', 60) from generate_series(1001, 1060) n;
    insert into seeded select n, 'new' from generate_series(1001, 1060) n;
    insert into family select n, date '2026-02-01' from generate_series(1001, 1060) n;
";

/// A database that sqlx itself migrates.
async fn migrated_by_sqlx(harness: &Harness, scratch: &Scratch) -> Database {
    let database = harness
        .with_setup(Setup::new().without_migrations())
        .database()
        .await
        .unwrap();
    Migrator::new(scratch.path("migrations"))
        .await
        .unwrap()
        .run(&database.pool())
        .await
        .unwrap();
    database
}

async fn text(pool: &PgPool, sql: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Everything that a test can observe: sizes, statistics, plans, and where new rows are stored.
async fn observations(database: &Database) -> Vec<String> {
    let pool = database.pool();
    let mut all = vec![
        text(&pool, TABLE_SIZES).await,
        text(&pool, STATISTICS).await,
    ];
    for query in QUERIES {
        let lines = sqlx::query_scalar::<_, String>(AssertSqlSafe(format!("explain {query}")));
        all.push(lines.fetch_all(&pool).await.unwrap().join("\n"));
    }
    sqlx::raw_sql(FIRST_WRITES).execute(&pool).await.unwrap();
    for table in ["moved", "seeded", "family"] {
        all.push(
            text(
                &pool,
                &format!("select string_agg(format('%s %s', ctid, id), ', ') from {table}"),
            )
            .await,
        );
    }
    all
}

#[tokio::test]
async fn a_lane_has_the_statistics_and_the_row_order_of_a_database_that_sqlx_migrated() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_tables.sql", MIGRATION);
    scratch.write("migrations/2_changes.sql", CHANGES);
    // Expected row counts make ebbtide read every row while it builds the template.
    scratch.write(
        "ebbtide.toml",
        "[provision.expect.rows]\nempty = 0\nmoved = 128\nseeded = 500\nfamily = 225\n",
    );
    let harness = scratch.builder().build().unwrap();
    let expected = migrated_by_sqlx(&harness, &scratch).await;
    let lane = harness.database().await.unwrap();
    let (by_sqlx, found) = (observations(&expected).await, observations(&lane).await);
    for (by_sqlx, found) in by_sqlx.iter().zip(&found) {
        assert_eq!(by_sqlx, found);
    }
    assert!(by_sqlx[0].contains("empty -1 0 0"), "{}", by_sqlx[0]);
    expected.close().await.unwrap();
    lane.close().await.unwrap();
}
