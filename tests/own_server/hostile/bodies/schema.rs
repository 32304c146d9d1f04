//! DDL of every kind, which could survive in the schema.

use crate::hostile::body::{ANY, Body, DATABASE_ONLY, Needs, sql};

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
    sql("a table dropped and created again", ANY, "drop table notes
        create table notes (n int, body text)"),
    sql("a column's type and default changed", ANY, "alter table counted alter column n type bigint
        alter table counted alter column body set default 'x'"),
    sql("a constraint added and one dropped", ANY, "alter table notes add constraint notes_n check (n is not null)
        alter table orders drop constraint orders_customer"),
    sql("storage parameters changed", ANY, "alter table notes set (fillfactor = 10)
        alter table notes alter column body set storage external
        alter table volatile set logged"),
    sql("a fill factor, and rows inserted with it", ANY, "alter table notes set (fillfactor = 10); insert into notes select n, 'x' from generate_series(1, 100) n"),
    sql("a value added to an enum", ANY, "alter type mood add value 'foggy'"),
    sql("a value of an enum renamed", ANY, "alter type mood rename value 'calm' to 'still'"),
    sql("a view replaced", ANY, "create or replace view names as select 'Nuria' as name
        drop materialized view totals"),
    sql("a function replaced", ANY, "create or replace function become(tenant int) returns text language sql as 'select ''Nuria'''"),
    sql("a function dropped", ANY, "drop function become(int)"),
    sql("triggers disabled", ANY, "alter table orders disable trigger all"),
    sql("a trigger created", ANY, "create trigger t before insert on notes for each row execute function suppress_redundant_updates_trigger()"),
    sql("a rule created", ANY, "create rule quiet as on insert to notes do instead nothing
        insert into notes values (1, 'nowhere')"),
    sql("row level security enabled", ANY, "alter table customers enable row level security
        alter table customers force row level security"),
    sql("a policy created and one dropped", ANY, "create policy nothing on notes using (false)
        drop policy by_tenant on customers"),
    sql("an inheriting table with rows", ANY, "create table heirs () inherits (notes)
        insert into heirs values (1, 'inherited')"),
    sql("a partition added and one detached", ANY, "create table parted_east partition of parted for values in ('east')
        alter table parted detach partition parted_north"),
    sql("a comment on a table", ANY, "comment on table customers is 'changed'"),
    sql("privileges granted and revoked", ANY, "grant select on customers to public
        grant usage on schema public to pg_monitor
        revoke all on schema public from public"),
    sql("privileges of the system's functions", ANY, "revoke execute on function pg_catalog.lower(text) from public
        revoke select on pg_catalog.pg_class from public"),
    sql("default privileges for functions", ANY, "alter default privileges revoke execute on functions from public
        set local role pg_monitor"),
    sql("default privileges for tables", ANY, "alter default privileges grant all on tables to public
        create table extra (id int)"),
    sql("a schema created", ANY, "create schema elsewhere
        create table elsewhere.extra (id int)"),
    sql("the schema public dropped", ANY, "drop schema public cascade"),
    sql("the schema public renamed", ANY, "alter schema public rename to private"),
    sql("types created, and a domain changed", ANY, "create type pair as (one int, two int)
        create type span as range (subtype = int)
        alter domain positive drop constraint positive_check"),
    sql("an operator and a cast created", ANY, "create function same(int, text) returns boolean language sql as 'select $1::text = $2'
        create operator ~~~ (leftarg = int, rightarg = text, function = same)
        create cast (mood as int) with inout as implicit"),
    sql("an operator that replaces = for text", ANY, "create function public.never(text, text) returns boolean language sql as 'select false'
        create operator public.= (leftarg = text, rightarg = text, function = public.never)
        set search_path = public, pg_catalog"),
    sql("an aggregate, a collation and a text search configuration created", ANY, "create aggregate total (int) (sfunc = int4pl, stype = int)
        create collation plain from \"C\"
        create text search configuration mine (copy = simple)"),
    sql("an event trigger that inserts rows", ANY, "create table ddl (what text)
        create function log_ddl() returns event_trigger language plpgsql as $$ begin insert into ddl values (tg_tag); end $$
        create event trigger logging on ddl_command_end execute function log_ddl()
        create table extra (id int)"),
    sql("an event trigger that refuses DDL", ANY, "create function refuse_ddl() returns event_trigger language plpgsql as $$ begin raise exception 'no'; end $$
        create event trigger refusing on ddl_command_start execute function refuse_ddl()
        create table extra (id int)"),
    sql("an event trigger that refuses drops", ANY, "create function refuse_drop() returns event_trigger language plpgsql as $$ begin raise exception 'no'; end $$
        create event trigger refusing on sql_drop execute function refuse_drop()"),
    sql("a publication created", ANY, "create publication everything for all tables"),
    sql("a subscription created", DATABASE_ONLY, "create subscription of_nothing connection 'host=127.0.0.1 port=1' publication p with (connect = false)"),
    sql("a subscription created and enabled", DATABASE_ONLY, "create subscription of_nothing connection 'host=127.0.0.1 port=1' publication p with (connect = false)
        alter subscription of_nothing enable"),
    sql("a foreign data wrapper created", ANY, "create foreign data wrapper nothing
        create server nowhere foreign data wrapper nothing
        create user mapping for current_user server nowhere
        create foreign table far (n int) server nowhere"),
    sql("an extension created", ANY, "create extension pgcrypto").needing(Needs::Available("pgcrypto")),
    sql("an extension created and used", ANY, "create extension pg_trgm
        set pg_trgm.similarity_threshold = 0.9
        select similarity('one', 'two')").needing(Needs::Available("pg_trgm")),
    sql("a language replaced", ANY, "create or replace trusted language plpgsql"),
    sql("owners changed", ANY, "alter table customers owner to pg_monitor
        alter function become(int) owner to pg_monitor"),
    sql("DROP OWNED", ANY, "alter table customers owner to pg_monitor
        alter sequence tickets owner to pg_monitor
        drop owned by pg_monitor cascade"),
    sql("REASSIGN OWNED", ANY, "alter table notes owner to pg_monitor
        reassign owned by pg_monitor to pg_read_all_data"),
    sql("a catalog row of an enum updated", ANY, "set local allow_system_table_mods = on
        update pg_enum set enumlabel = 'foggy' where enumlabel = 'stormy'"),
    sql("a table's row estimate in pg_class updated", DATABASE_ONLY, "set allow_system_table_mods = on
        update pg_class set reltuples = 1000000, relpages = 5000 where relname = 'notes'"),
    sql("an index created and one dropped, CONCURRENTLY", DATABASE_ONLY, "create index concurrently on notes (n)
        drop index concurrently entries_shelf"),
    sql("a unique index that fails, CONCURRENTLY", DATABASE_ONLY, "insert into notes values (1, 'one'), (1, 'two')
        create unique index concurrently on notes (n)"),
    sql("replica identity and clustering changed", ANY, "alter table counted replica identity full
        alter table entries cluster on entries_shelf"),
    sql("an enum with the name of the next test's enum", ANY, "create type weather as enum ('rain', 'sun', 'wind')"),
    sql("a transaction of DDL that is rolled back", ANY, "<begin>
        create table extra (id int)
        drop table customers cascade
        create type weather as enum ('rain')
        <rollback>"),
];
