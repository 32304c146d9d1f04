//! Comparisons of two schemas: what they report, and what they ignore.

mod aspects;
mod changes;
mod dumps;
mod leftovers;
mod properties;
mod report;
mod statistics;
mod templates;

use crate::support::Scratch;
use ebbtide::{Database, Harness};
use sqlx::AssertSqlSafe;

const MIGRATION: &str = "
    create schema archive;
    create type mood as enum ('calm', 'stormy');
    create domain phone as text check (value like '+%');
    create type span as (low int, high int);
    create table customers (
        id bigint generated always as identity primary key, name text not null, phone phone,
        email text constraint customers_email_key unique, age int constraint customers_age_check check (age > 0),
        city text default 'Madrid', mood mood, shown text generated always as (upper(city)) stored);
    create index customers_city_idx on customers (city);
    create table orders (id serial primary key, customer bigint not null constraint orders_customer_fkey
        references customers, placed timestamptz not null default '2026-01-01 00:00+00', cents int not null);
    create index orders_placed_idx on orders (placed);
    create table rooms (id int, during tsrange, constraint rooms_during_excl exclude using gist (during with &&));
    create table notes (at date);
    create table ledger (day date, amount int) partition by range (day);
    create table ledger_2026 partition of ledger for values from ('2026-01-01') to ('2027-01-01');
    create sequence tickets start 100;
    create view adults as select name from customers where age > 17;
    create materialized view totals as select count(*) as orders from orders;
    create function plus(a int) returns int language sql as 'select a + 1';
    create aggregate largest(int) (sfunc = int4larger, stype = int);
    create function forbid() returns trigger language plpgsql as $$ begin raise exception 'never'; end $$;
    create trigger forbid before delete on orders for each row execute function forbid();
    create policy everything on customers using (true);
    create rule quiet as on delete to notes do instead nothing;
    comment on table orders is 'what was bought';
";

/// A harness whose schema has objects of every kind.
fn harness(scratch: &Scratch) -> Harness {
    scratch.write("migrations/1_shop.sql", MIGRATION);
    scratch.builder().build().unwrap()
}

/// A database on which the SQL has run.
async fn changed(harness: &Harness, sql: &str) -> Database {
    let database = harness.database().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&database.pool())
        .await
        .unwrap();
    database
}
