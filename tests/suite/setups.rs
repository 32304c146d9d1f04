//! What a `Setup` guarantees: other migrations, or fixtures after the seeds. Equal contents are
//! built once.

use std::collections::BTreeSet;

use crate::support::{Scratch, runs_natively, this_test};
use ebbtide::config::Expect;
use ebbtide::{ErrorKind, Harness, Setup};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;

const MIGRATION: &str =
    "create table customers (id serial primary key, name text not null unique);";
const FIXTURE: &str = "insert into customers (name) values ('Laura'), ('Marta');";

fn harness(scratch: &Scratch) -> Harness {
    scratch.write("migrations/1_shop.sql", MIGRATION);
    scratch.write("seeds/010_customers.csv", "name\nseeded\n");
    scratch.builder().build().unwrap()
}

async fn names(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar("select name from customers order by id")
        .fetch_all(connection)
        .await
        .unwrap()
}

async fn tables(connection: &mut PgConnection) -> BTreeSet<String> {
    let tables = "select tablename::text from pg_tables where schemaname = 'public'";
    sqlx::query_scalar::<_, String>(tables)
        .fetch_all(connection)
        .await
        .unwrap()
        .into_iter()
        .collect()
}

#[tokio::test]
async fn fixtures_are_loaded_after_the_seeds_of_the_plan() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let with_fixture = harness.with_setup(Setup::new().fixture("vips.sql", FIXTURE));
    for _ in 0..3 {
        let mut tx = with_fixture.tx().await.unwrap();
        assert_eq!(names(&mut tx).await, ["seeded", "Laura", "Marta"]);
        let id: i32 = sqlx::query_scalar("insert into customers (name) values ('x') returning id")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(id, 4, "sequences must continue where the fixture left them");
        tx.close().await.unwrap();
        let database = with_fixture.database().await.unwrap();
        let id: i32 = sqlx::query_scalar("insert into customers (name) values ('x') returning id")
            .fetch_one(&database.pool())
            .await
            .unwrap();
        assert_eq!(id, 4);
        database.close().await.unwrap();
    }
    let mut plain = harness.tx().await.unwrap();
    assert_eq!(names(&mut plain).await, ["seeded"]);
    plain.close().await.unwrap();
}

#[tokio::test]
async fn equal_contents_are_built_once_for_all_harnesses() {
    let scratch = Scratch::new();
    let one = harness(&scratch).with_setup(
        Setup::new()
            .fixture("a.sql", FIXTURE)
            .expect(Expect::new().rows("customers", 3)),
    );
    let first = one.provision().await.unwrap();
    // A second harness, as in another process.
    let two = harness(&scratch).with_setup(
        Setup::new()
            .fixture("elsewhere/a.sql", FIXTURE)
            .expect(Expect::new().rows("customers", 3)),
    );
    let second = two.provision().await.unwrap();
    assert_eq!(first.fingerprint, second.fingerprint);
    assert!(second.reused);
    let other = harness(&scratch).with_setup(Setup::new().fixture("a.sql", "select 1"));
    assert_ne!(
        other.provision().await.unwrap().fingerprint,
        first.fingerprint
    );
}

#[tokio::test]
async fn migrations_of_a_setup_replace_the_migrations_and_seeds_of_the_plan() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    scratch.write("other/1_other.sql", "create table other (id int)");
    let other = harness.with_setup(
        Setup::new()
            .migrations(scratch.path("other"))
            .fixture("o.sql", "insert into other values (1)"),
    );
    let mut tx = other.tx().await.unwrap();
    assert_eq!(
        tables(&mut tx).await,
        BTreeSet::from(["_sqlx_migrations".to_owned(), "other".to_owned()])
    );
    tx.close().await.unwrap();
    let none = harness.with_setup(Setup::new().without_migrations());
    let mut tx = none.tx().await.unwrap();
    assert_eq!(tables(&mut tx).await, BTreeSet::new());
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_migrator_finds_its_migrations_in_the_ledger() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    scratch.write("embedded/7_first.up.sql", "create table embedded (id int)");
    scratch.write("embedded/7_first.down.sql", "drop table embedded");
    let migrator = Migrator::new(scratch.path("embedded")).await.unwrap();
    let migrator: &'static Migrator = Box::leak(Box::new(migrator));
    let database = harness
        .with_setup(Setup::new().migrator(migrator))
        .database()
        .await
        .unwrap();
    migrator.run(&database.pool()).await.unwrap();
    let versions: Vec<i64> = sqlx::query_scalar("select version from _sqlx_migrations")
        .fetch_all(&database.pool())
        .await
        .unwrap();
    assert_eq!(
        versions,
        [7],
        "the migrator must have nothing left to apply"
    );
    // The same version with different contents.
    scratch.write(
        "embedded/7_first.up.sql",
        "create table embedded (id bigint)",
    );
    let changed = Migrator::new(scratch.path("embedded")).await.unwrap();
    let error = changed.run(&database.pool()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "migration 7 was previously applied but has been modified"
    );
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_fixture_that_fails_is_reported_with_its_line() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let wrong = Setup::new().fixture(
        "fixtures/vips.sql",
        "insert into customers (name) values ('a');\ninsert into custmers (name) values ('b');\n",
    );
    let error = harness.with_setup(wrong).tx().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Seed);
    let report = format!("{error:?}");
    assert!(
        report.starts_with("a fixture failed at fixtures/vips.sql:2:13"),
        "{report}"
    );
    assert!(
        report.contains("relation \"custmers\" does not exist"),
        "{report}"
    );
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(
        names(&mut tx).await,
        ["seeded"],
        "tests without the fixture must continue to work"
    );
    tx.close().await.unwrap();
}

#[tokio::test]
async fn differences_from_the_expectations_are_reported() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let wrong = Setup::new()
        .fixture("a.sql", FIXTURE)
        .expect(Expect::new().rows("customers", 2).table("orders"));
    let error = harness.with_setup(wrong).tx().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Expectation);
    let report = format!("{error:?}");
    assert!(
        report.contains("orders") && report.contains("customers"),
        "{report}"
    );
}

#[tokio::test]
async fn a_missing_directory_is_reported_with_its_path() {
    let scratch = Scratch::new();
    let error = harness(&scratch)
        .with_setup(Setup::new().migrations("no/such/directory"))
        .tx()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MigrationSource);
    assert!(
        error.to_string().contains("no/such/directory is none"),
        "{error}"
    );
    assert!(
        error
            .help()
            .unwrap()
            .contains("relative to the package's root")
    );
}

#[tokio::test]
async fn many_setups_do_not_fill_the_server() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_shop.sql", MIGRATION);
    let harness = scratch.own_server().build().unwrap();
    for number in 0..70 {
        let fixture = format!("insert into customers (name) values ('customer {number}')");
        // A new harness each time, as in other processes: a harness keeps its lanes.
        let harness = scratch.own_server().build().unwrap();
        let mut tx = harness
            .with_setup(Setup::new().fixture("one.sql", &fixture))
            .tx()
            .await
            .unwrap();
        assert_eq!(names(&mut tx).await, [format!("customer {number}")]);
        tx.close().await.unwrap();
    }
    let mut tx = harness.tx().await.unwrap();
    let databases: Vec<(String, i64)> = sqlx::query_as(
        "select substr(datname, 1, 10), count(*) from pg_database where datname like 'ebbtide%' group by 1 order by 1",
    )
    .fetch_all(&mut *tx)
    .await
    .unwrap();
    let lanes = databases
        .iter()
        .find(|(kind, _)| kind == "ebbtide_l_")
        .unwrap()
        .1;
    let templates = databases
        .iter()
        .find(|(kind, _)| kind == "ebbtide_t_")
        .unwrap()
        .1;
    println!("{databases:?}");
    assert!((2..=64).contains(&lanes), "{databases:?}");
    assert!((2..=26).contains(&templates), "{databases:?}");
    tx.close().await.unwrap();
}
