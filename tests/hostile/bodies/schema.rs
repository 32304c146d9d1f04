//! What may survive in a schema: DDL of every sort.

use crate::body::{ANY, Body, Needs, WHOLE, sql};

#[rustfmt::skip]
pub(super) const BODIES: &[Body] = &[
    sql("CREATE TABLE", ANY, "create table extra (id serial primary key)
        insert into extra default values"),
    sql("CREATE and DROP TABLE", ANY, "create table extra (id serial primary key)
        drop table extra"),
    sql("CREATE TABLE AS", ANY, "create table extra as select * from counted"),
    sql("a column added", ANY, "alter table customers add column note text default 'x'"),
    sql("a column added and dropped", ANY, "alter table notes add column note text
        alter table notes drop column note"),
    sql("a column dropped", ANY, "alter table orders drop column customer"),
    sql("a table renamed", ANY, "alter table orders rename to purchases"),
    sql("a table dropped", ANY, "drop table customers cascade"),
    sql("a table dropped and made again", ANY, "drop table notes
        create table notes (n int, body text)"),
    sql("types of columns", ANY, "alter table counted alter column n type bigint
        alter table counted alter column body set default 'x'"),
    sql("constraints", ANY, "alter table notes add constraint notes_n check (n is not null)
        alter table orders drop constraint orders_customer"),
    sql("storage parameters", ANY, "alter table notes set (fillfactor = 10)
        alter table notes alter column body set storage external
        alter table volatile set logged"),
    sql("a fill factor, and rows", ANY, "alter table notes set (fillfactor = 10); insert into notes select n, 'x' from generate_series(1, 100) n"),
    sql("a new value of an enum", ANY, "alter type mood add value 'foggy'"),
    sql("a value of an enum renamed", ANY, "alter type mood rename value 'calm' to 'still'"),
    sql("a view replaced", ANY, "create or replace view names as select 'Nuria' as name
        drop materialized view totals"),
    sql("a function replaced", ANY, "create or replace function become(tenant int) returns text language sql as 'select ''Nuria'''"),
    sql("a function dropped", ANY, "drop function become(int)"),
    sql("triggers disabled", ANY, "alter table orders disable trigger all"),
    sql("a trigger", ANY, "create trigger t before insert on notes for each row execute function suppress_redundant_updates_trigger()"),
    sql("a rule", ANY, "create rule quiet as on insert to notes do instead nothing
        insert into notes values (1, 'nowhere')"),
    sql("row level security", ANY, "alter table customers enable row level security
        alter table customers force row level security"),
    sql("a policy", ANY, "create policy nothing on notes using (false)
        drop policy by_tenant on customers"),
    sql("inheritance", ANY, "create table heirs () inherits (notes)
        insert into heirs values (1, 'inherited')"),
    sql("partitions", ANY, "create table parted_east partition of parted for values in ('east')
        alter table parted detach partition parted_north"),
    sql("comments", ANY, "comment on table customers is 'changed'"),
    sql("privileges", ANY, "grant select on customers to public
        grant usage on schema public to pg_monitor
        revoke all on schema public from public"),
    sql("privileges of the system's functions", ANY, "revoke execute on function pg_catalog.lower(text) from public
        revoke select on pg_catalog.pg_class from public"),
    sql("default privileges for functions", ANY, "alter default privileges revoke execute on functions from public
        set local role pg_monitor"),
    sql("default privileges for tables", ANY, "alter default privileges grant all on tables to public
        create table extra (id int)"),
    sql("a schema", ANY, "create schema elsewhere
        create table elsewhere.extra (id int)"),
    sql("the schema public dropped", ANY, "drop schema public cascade"),
    sql("the schema public renamed", ANY, "alter schema public rename to private"),
    sql("domains, composites and ranges", ANY, "create type pair as (one int, two int)
        create type span as range (subtype = int)
        alter domain positive drop constraint positive_check"),
    sql("operators and casts", ANY, "create function same(int, text) returns boolean language sql as 'select $1::text = $2'
        create operator ~~~ (leftarg = int, rightarg = text, function = same)
        create cast (mood as int) with inout as implicit"),
    sql("an operator that changes what = means", ANY, "create function public.never(text, text) returns boolean language sql as 'select false'
        create operator public.= (leftarg = text, rightarg = text, function = public.never)
        set search_path = public, pg_catalog"),
    sql("aggregates, collations and text search", ANY, "create aggregate total (int) (sfunc = int4pl, stype = int)
        create collation plain from \"C\"
        create text search configuration mine (copy = simple)"),
    sql("an event trigger that logs", ANY, "create table ddl (what text)
        create function log_ddl() returns event_trigger language plpgsql as $$ begin insert into ddl values (tg_tag); end $$
        create event trigger logging on ddl_command_end execute function log_ddl()
        create table extra (id int)"),
    sql("an event trigger that refuses", ANY, "create function refuse_ddl() returns event_trigger language plpgsql as $$ begin raise exception 'no'; end $$
        create event trigger refusing on ddl_command_start execute function refuse_ddl()
        create table extra (id int)"),
    sql("an event trigger that refuses drops", ANY, "create function refuse_drop() returns event_trigger language plpgsql as $$ begin raise exception 'no'; end $$
        create event trigger refusing on sql_drop execute function refuse_drop()"),
    sql("a publication", ANY, "create publication everything for all tables"),
    sql("a subscription", WHOLE, "create subscription of_nothing connection 'host=127.0.0.1 port=1' publication p with (connect = false)"),
    sql("a subscription that is enabled", WHOLE, "create subscription of_nothing connection 'host=127.0.0.1 port=1' publication p with (connect = false)
        alter subscription of_nothing enable"),
    sql("a foreign wrapper", ANY, "create foreign data wrapper nothing
        create server nowhere foreign data wrapper nothing
        create user mapping for current_user server nowhere
        create foreign table far (n int) server nowhere"),
    sql("an extension", ANY, "create extension pgcrypto").needing(Needs::Available("pgcrypto")),
    sql("an extension, and its objects used", ANY, "create extension pg_trgm
        set pg_trgm.similarity_threshold = 0.9
        select similarity('one', 'two')").needing(Needs::Available("pg_trgm")),
    sql("a language", ANY, "create or replace trusted language plpgsql"),
    sql("owners", ANY, "alter table customers owner to pg_monitor
        alter function become(int) owner to pg_monitor"),
    sql("DROP OWNED", ANY, "alter table customers owner to pg_monitor
        alter sequence tickets owner to pg_monitor
        drop owned by pg_monitor cascade"),
    sql("REASSIGN OWNED", ANY, "alter table notes owner to pg_monitor
        reassign owned by pg_monitor to pg_read_all_data"),
    sql("columns of the catalogs", ANY, "set local allow_system_table_mods = on
        update pg_enum set enumlabel = 'foggy' where enumlabel = 'stormy'"),
    sql("the catalogs' own hints", WHOLE, "set allow_system_table_mods = on
        update pg_class set reltuples = 1000000, relpages = 5000 where relname = 'notes'"),
    sql("an index made concurrently", WHOLE, "create index concurrently on notes (n)
        drop index concurrently entries_shelf"),
    sql("an index of a unique value that cannot be made", WHOLE, "insert into notes values (1, 'one'), (1, 'two')
        create unique index concurrently on notes (n)"),
    sql("replica identity and clustering", ANY, "alter table counted replica identity full
        alter table entries cluster on entries_shelf"),
    sql("a type that the driver knows by name", ANY, "create type weather as enum ('rain', 'sun', 'wind')"),
    sql("a transaction of DDL that is undone", ANY, "<begin>
        create table extra (id int)
        drop table customers cascade
        create type weather as enum ('rain')
        <rollback>"),
];
