//! Tests that log in as the application's role, on a database that another role owns.
//!
//! On servers that ebbtide starts, the plan creates the roles. On an external server they exist
//! already, with the password in `EBBTIDE_ROLE_PASSWORD`.

mod expectations;
mod logins;
mod note;
mod origins;
mod owners;
mod security;
mod settings;
mod versions;

use ebbtide::Harness;
use ebbtide::config::{Builder, Role};
use sqlx::postgres::PgConnection;

use crate::support::Scratch;

/// The owner of the database and its tables.
pub(crate) const OWNER: &str = "suite_owner";
/// The role of the application, with privileges on the tables only.
pub(crate) const APP: &str = "suite_app";

/// A table with a policy for tenants, and one without row level security.
const MIGRATION: &str = "
    create table orders (id serial primary key, tenant int not null, item text not null);
    alter table orders enable row level security, force row level security;
    create policy tenant_orders on orders
        using (tenant = current_setting('app.tenant', true)::int);
    create table notes (id bigint generated always as identity primary key, body text not null);
";
const PRIVILEGES: [&str; 2] = [
    "select, insert, update, delete on all tables in schema public",
    "usage on all sequences in schema public",
];

/// A builder with the two roles.
pub(crate) fn builder(scratch: &Scratch) -> Builder {
    let app = PRIVILEGES
        .iter()
        .fold(Role::new(APP), |role, privileges| role.grant(*privileges));
    scratch
        .builder()
        .role(OWNER)
        .role(app)
        .owner(OWNER)
        .test_role(APP)
}

/// A harness with the two tables.
pub(crate) fn harness(scratch: &Scratch) -> Harness {
    scratch.write("migrations/1_shop.sql", MIGRATION);
    builder(scratch).build().unwrap()
}

async fn text(connection: &mut PgConnection, query: &'static str) -> String {
    sqlx::query_scalar(query)
        .fetch_one(connection)
        .await
        .unwrap()
}

async fn number(connection: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query)
        .fetch_one(connection)
        .await
        .unwrap()
}

async fn run(connection: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

/// The SQLSTATE of a refused statement.
fn code(result: Result<(), sqlx::Error>) -> String {
    let error = result.expect_err("the server refuses the statement");
    error
        .as_database_error()
        .unwrap()
        .code()
        .unwrap()
        .into_owned()
}
