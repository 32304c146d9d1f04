create type mood as enum ('calm', 'stormy');
create table customers (
    id bigint generated always as identity primary key,
    name text not null unique,
    mood mood,
    tenant int default 1
);
create table orders (
    id serial primary key,
    customer bigint not null
        constraint orders_customer references customers deferrable initially deferred
);
-- Tables whose rows' order the view compares: without an index, with an index, with seeded rows.
create table notes (n int, body text);
create table entries (n int, shelf int, body text);
create index entries_shelf on entries (shelf);
create table counted (n int primary key, body text);
-- Has planner statistics from the migration (`analyze` below).
create table measured (n int primary key, value int);
create unlogged table volatile (n int, body text);
create table parted (n int, region text) partition by list (region);
create table parted_north partition of parted for values in ('north');
create table parted_rest partition of parted default;
create materialized view totals as select count(*) as customers from customers;
create sequence tickets start 100;
create sequence cached cache 20;
create view names as select name from customers;
create domain positive as int check (value > 0);

create function become(tenant int) returns text language plpgsql as $$
begin
    return set_config('app.tenant', tenant::text, true);
end $$;
create function stamp() returns trigger language plpgsql as $$
begin
    perform set_config('app.stamped', 'yes', true);
    return new;
end $$;
create trigger stamp before insert on orders for each row execute function stamp();
create procedure commits() language plpgsql as $$
begin
    insert into orders (customer) values (1);
    commit;
end $$;
create policy by_tenant on customers using (tenant = current_setting('app.tenant', true)::int);

-- Returns a query's value, or the SQLSTATE with which it failed.
create function peek(query text) returns text language plpgsql as $$
declare
    answer text;
begin
    execute query into answer;
    return answer;
exception when others then
    return 'refused with ' || sqlstate;
end $$;
-- Returns a libpq connection string for this database, through the server's socket.
create function self() returns text language sql as $$
    select format('host=%s port=%s dbname=%s user=%s',
        trim('"' from split_part(current_setting('unix_socket_directories'), ',', 1)),
        current_setting('port'), current_database(), session_user)
$$;
-- The values of column n in the order of a sequential scan, and of an index scan.
create function by_scan(what text) returns text language plpgsql
    set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = off as $$
declare
    answer text;
begin
    execute 'select string_agg(n::text, '' '') from ' || what into answer;
    return answer;
end $$;
create function by_index(what text) returns text language plpgsql
    set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    answer text;
begin
    execute 'select string_agg(n::text, '' '') from ' || what into answer;
    return answer;
end $$;

insert into customers (name, mood) values ('Laura', 'calm'), ('Marta', null);
insert into orders (customer) values (1);
insert into counted select n, repeat('c', n % 90) from generate_series(1, 500) n;
insert into measured select n, n % 10 from generate_series(1, 1000) n;
insert into parted values (1, 'north'), (2, 'south');
refresh materialized view totals;
select nextval('tickets'), lo_from_bytea(4711, 'a large object');
analyze measured;

do $$
declare
    wanted text;
begin
    foreach wanted in array array[/* extensions */]::text[] loop
        if exists (select from pg_available_extensions where name = wanted) then
            execute format('create extension %I', wanted);
        end if;
    end loop;
end $$;
