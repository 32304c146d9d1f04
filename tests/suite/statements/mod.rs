//! What `TxOptions` guarantee. With `savepoints`, a failed statement undoes only itself. The isolation
//! level is the requested one. `isolation::violations` tests the guard with and without savepoints.

mod endings;
mod errors;
mod isolation_levels;

use crate::support::Scratch;
use ebbtide::{Harness, Tx, TxOptions};
use sqlx::PgConnection;

const MIGRATION: &str = "
    create table guests (id bigint generated always as identity primary key, name text not null unique);
    create table visits (
        id serial primary key,
        guest bigint not null constraint visits_guest_fkey references guests deferrable initially deferred
    );
    create sequence tickets start 100;
";

fn harness(scratch: &Scratch) -> Harness {
    scratch.harness("1_guests.sql", MIGRATION)
}

async fn with_savepoints(harness: &Harness) -> Tx {
    harness
        .tx_with(TxOptions::new().savepoints())
        .await
        .unwrap()
}

/// Inserts a guest through the extended protocol, with a statement that the driver prepares once.
async fn add(connection: &mut PgConnection, name: &str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("insert into guests (name) values ($1) returning id")
        .bind(name)
        .fetch_one(connection)
        .await
}

async fn names(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar("select name from guests order by name")
        .fetch_all(connection)
        .await
        .unwrap()
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, sqlx::Error>, code: &str) {
    let error = result.expect_err("the server must refuse the statement");
    assert_eq!(
        error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .as_deref(),
        Some(code),
        "{error}"
    );
}
