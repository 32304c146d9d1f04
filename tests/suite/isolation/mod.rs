//! What a `Tx` guarantees: no effect of a test reaches the next one, and no violation goes
//! unreported.

mod effects;
mod lanes;
mod violations;

use crate::support::Scratch;
use ebbtide::{Harness, Tx};
use sqlx::{AssertSqlSafe, PgConnection};

const MIGRATION: &str = "
    create table parents (id bigint generated always as identity primary key, name text not null unique);
    create table children (
        id serial primary key,
        parent bigint not null constraint children_parent_fkey references parents deferrable initially deferred
    );
    create sequence tickets start 100;
    select nextval('tickets');
";

/// A harness of the test's own. All of them use the same server and the same template.
fn harness(scratch: &Scratch) -> Harness {
    scratch.harness("1_family.sql", MIGRATION)
}

async fn count(connection: &mut PgConnection, table: &'static str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}")))
        .fetch_one(connection)
        .await
        .unwrap()
}

/// Inserts a row and returns its id, which the sequence of the table assigns.
async fn insert_parent(connection: &mut PgConnection, name: &str) -> i64 {
    let sql = format!("insert into parents (name) values ('{name}') returning id");
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(connection)
        .await
        .unwrap()
}

/// The name and OID of a transaction's database, which differ if the next test gets another one.
async fn database(tx: &mut Tx) -> String {
    sqlx::query_scalar("select current_database() || (select oid from pg_database where datname = current_database())")
        .fetch_one(&mut **tx)
        .await
        .unwrap()
}
