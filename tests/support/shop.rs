//! A shop whose schema has objects of every kind, and changes to it.

use ebbtide::{Database, Harness};
use sqlx::AssertSqlSafe;

use super::Scratch;

pub const MIGRATION: &str = "
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

/// A change to a database that equals the reference, and everything that the comparison reports.
pub const CHANGES: [(&str, &[&str]); 61] = [
    ("create schema app", &["extra schema app"]),
    ("drop schema archive", &["missing schema archive"]),
    (
        "comment on schema archive is 'old'",
        &["different schema archive"],
    ),
    ("create extension pg_trgm", &["extra extension pg_trgm"]),
    (
        "alter type mood add value 'windy'",
        &["different enum mood"],
    ),
    ("create type size as enum ('s', 'm')", &["extra enum size"]),
    ("create domain zip as text", &["extra domain zip"]),
    (
        "alter domain phone set not null",
        &["different domain phone"],
    ),
    (
        "alter domain phone drop constraint phone_check",
        &["different domain phone"],
    ),
    (
        "alter type span add attribute step int",
        &["different composite type span"],
    ),
    ("drop type span", &["missing composite type span"]),
    (
        "create type floats as range (subtype = float8)",
        &["extra range type floats"],
    ),
    (
        "alter sequence tickets increment 5",
        &["different sequence tickets"],
    ),
    ("drop sequence tickets", &["missing sequence tickets"]),
    ("create sequence seats", &["extra sequence seats"]),
    (
        "create table visits (id int primary key, at date)",
        &["extra table visits"],
    ),
    (
        "drop table orders cascade",
        &["missing table orders", "missing materialized view totals"],
    ),
    ("alter table notes set unlogged", &["different table notes"]),
    (
        "alter table customers enable row level security",
        &["different table customers"],
    ),
    (
        "alter table customers force row level security",
        &["different table customers"],
    ),
    (
        "create table ledger_2027 partition of ledger for values from ('2027-01-01') to ('2028-01-01')",
        &["extra table ledger_2027"],
    ),
    (
        "alter table ledger detach partition ledger_2026",
        &["different table ledger_2026"],
    ),
    (
        "alter table ledger add column note text",
        &["extra column ledger.note"],
    ),
    (
        "create table p (id int primary key) partition by list (id); create table p1 partition of p for values in (1); \
      create trigger never before update on p for each row execute function forbid(); drop table p1",
        &["extra table p"],
    ),
    (
        "drop schema archive; drop policy everything on customers; create policy mine on customers for select using (true)",
        &[
            "missing schema archive",
            "missing policy everything on customers",
            "extra policy mine on customers",
        ],
    ),
    (
        "comment on table orders is null",
        &["different table orders"],
    ),
    (
        "alter table notes add column body text",
        &["extra column notes.body"],
    ),
    (
        "alter table notes drop column at",
        &["missing column notes.at"],
    ),
    (
        "alter table notes rename column at to day",
        &["missing column notes.at", "extra column notes.day"],
    ),
    (
        "alter table orders alter column cents type bigint",
        &["different column orders.cents"],
    ),
    (
        "alter table customers alter column email type varchar(40)",
        &["different column customers.email"],
    ),
    (
        "alter table orders alter column placed set default now()",
        &["different column orders.placed"],
    ),
    (
        "alter table orders alter column placed drop default",
        &["different column orders.placed"],
    ),
    (
        "alter table customers alter column name drop not null",
        &["different column customers.name"],
    ),
    (
        "alter table customers alter column id set generated by default",
        &["different column customers.id"],
    ),
    (
        "alter table customers alter column id set increment by 2",
        &["different column customers.id"],
    ),
    (
        "alter table customers alter column id drop identity",
        &["different column customers.id"],
    ),
    (
        "alter table customers alter column shown drop expression",
        &["different column customers.shown"],
    ),
    (
        "alter table notes add column code text collate \"C\"",
        &["extra column notes.code"],
    ),
    (
        "alter table customers alter column email type text collate \"C\"",
        &["different column customers.email"],
    ),
    (
        "comment on column notes.at is 'when'",
        &["different column notes.at"],
    ),
    (
        "alter table orders drop constraint orders_pkey",
        &["missing constraint orders_pkey on orders"],
    ),
    (
        "alter table orders drop constraint orders_customer_fkey",
        &["missing constraint orders_customer_fkey on orders"],
    ),
    (
        "alter table customers drop constraint customers_email_key",
        &["missing constraint customers_email_key on customers"],
    ),
    (
        "alter table customers drop constraint customers_age_check",
        &["missing constraint customers_age_check on customers"],
    ),
    (
        "alter table rooms drop constraint rooms_during_excl",
        &["missing constraint rooms_during_excl on rooms"],
    ),
    (
        "alter table notes add constraint late check (at > '2026-01-01') not valid",
        &["extra constraint late on notes"],
    ),
    (
        "alter table ledger add constraint positive check (amount > 0)",
        &["extra constraint positive on ledger"],
    ),
    (
        "alter table ledger add primary key (day)",
        &[
            "extra constraint ledger_pkey on ledger",
            "different column ledger.day",
        ],
    ),
    (
        "drop index orders_placed_idx",
        &["missing index orders_placed_idx"],
    ),
    (
        "create index on ledger (day)",
        &["extra index ledger_day_idx"],
    ),
    (
        "drop index orders_placed_idx; create unique index orders_placed_idx on orders (placed)",
        &["different index orders_placed_idx"],
    ),
    (
        "create or replace view adults as select name from customers where age > 20",
        &["different view adults"],
    ),
    (
        "drop materialized view totals; create materialized view totals as select sum(cents) as orders from orders",
        &["different materialized view totals"],
    ),
    (
        "create or replace function plus(a int) returns int language sql as 'select a + 2'",
        &["different function plus(a integer)"],
    ),
    (
        "create procedure rest() language sql as 'select 1'",
        &["extra procedure rest()"],
    ),
    (
        "create or replace aggregate largest(int) (sfunc = int4smaller, stype = int)",
        &["different aggregate largest(integer)"],
    ),
    (
        "alter table orders disable trigger forbid",
        &["different trigger forbid on orders"],
    ),
    (
        "create trigger never before update on orders for each row execute function forbid()",
        &["extra trigger never on orders"],
    ),
    (
        "alter policy everything on customers using (age > 1)",
        &["different policy everything on customers"],
    ),
    ("drop rule quiet on notes", &["missing rule quiet on notes"]),
];

/// A harness whose schema has objects of every kind.
pub fn shop_harness(scratch: &Scratch) -> Harness {
    scratch.write("migrations/1_shop.sql", MIGRATION);
    scratch.builder().build().unwrap()
}

/// A database on which the SQL has run.
pub async fn changed(harness: &Harness, sql: &str) -> Database {
    let database = harness.database().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&database.pool())
        .await
        .unwrap();
    database
}
