create schema _ebbtide;

-- A test may act as another role.
grant usage on schema _ebbtide to public;

-- A row is written when a test's transaction opens and never committed: its trigger refuses that.
-- The first message to a lane names the server that its lease speaks of. `sessions` counts the sessions that this
-- database has ever had: a higher count at the end means that another client was connected meanwhile.
create unlogged table _ebbtide.open_test (
    server text constraint another_server check (server = current_setting('ebbtide.identity', true)),
    sessions bigint
);
grant select, insert, delete on _ebbtide.open_test to public;

create function _ebbtide.refuse_commit() returns trigger language plpgsql as $$
declare
    stack text;
begin
    if current_setting('ebbtide.closing', true) = 'on' then
        return null;
    end if;
    get diagnostics stack = pg_context;
    -- `SET CONSTRAINTS ALL IMMEDIATE` fires this too, and may. Nothing can commit this transaction from within a function,
    -- and a message without these words cannot commit it either; a doubtful one is refused.
    if stack ~ '\n' or (current_query() ~* '\mset\s+constraints\M' and current_query() !~* '\m(commit|end|prepare)\M') then
        set constraints _ebbtide.refuse_commit deferred;
        insert into _ebbtide.open_test default values;
        return null;
    end if;
    raise exception 'COMMIT refused: this test''s transaction belongs to ebbtide and is rolled back at its end'
        using errcode = '25000',
              hint = 'Code that commits for itself needs an isolation that allows it: a database of its own.';
end $$;

create constraint trigger refuse_commit after insert on _ebbtide.open_test
    deferrable initially deferred for each row execute function _ebbtide.refuse_commit();
-- Also for a test that keeps other triggers from firing.
alter table _ebbtide.open_test enable always trigger refuse_commit;

-- Procedures, because a CALL without output sends the client nothing to decode. An assignment is evaluated without
-- a query of its own, unlike PERFORM. Undoes what rollback does not undo.
create procedure _ebbtide.rewind() language plpgsql as $$
declare
    ignored text := pg_advisory_unlock_all()::text;
begin
    {restore_sequences}
    -- `setseed` makes `random()` predictable for the rest of the session.
    ignored := setseed(('x' || left(gen_random_uuid()::text, 8))::bit(32)::int4 / 2147483648.0)::text;
    {reset_origin}
    discard sequences;
    deallocate all;
end $$;

-- Did the test leave the transaction? The answer is what it may have left behind: see below.
create procedure _ebbtide.check_open(inout seen text) language plpgsql as $$
declare
    ignored text;
begin
    if current_setting('ebbtide.test', true) is distinct from 'open' then
        -- `RESET ALL` forgets the setting and leaves the row, which this transaction wrote.
        if not exists (select from _ebbtide.open_test where xmin = pg_current_xact_id()::xid) then
            raise exception 'the test has ended its transaction' using errcode = '25P01';
        end if;
    end if;
    {look}
end $$;

-- Before the rollback: did the test leave the transaction, and would it have been committed? `seen` holds four numbers.
--
-- 1. Rows written: they stay in the tables as dead ones.
-- 2. Whether numbers of the planner may have changed: ANALYZE and CREATE INDEX write them in place, and a rollback
--    does not undo that (https://www.postgresql.org/docs/current/catalog-pg-class.html).
-- 3. Whether the session may differ from a new one in what no command resets: a custom setting that was set once is
--    empty and not NULL from then on, libraries stay loaded, and the driver remembers types by their names.
-- 4. Whether another client has been connected to this database, and may have committed.
create procedure _ebbtide.check(inout seen text) language plpgsql as $$
declare
    ignored text;
begin
    -- Another call only in doubt: this ends every test.
    if current_setting('ebbtide.test', true) is distinct from 'open' then
        if not exists (select from _ebbtide.open_test where xmin = pg_current_xact_id()::xid) then
            raise exception 'the test has ended its transaction' using errcode = '25P01';
        end if;
    end if;
    ignored := set_config('ebbtide.closing', 'on', true);
    set constraints all immediate;
    {look}
end $$;

-- In a sandbox, the application's COMMIT releases a savepoint. What a real one would end is ended here, when the
-- connection goes back to the pool: a role, cursors, and settings that a prepared statement set for a transaction only.
create procedure _ebbtide.end_locals() language plpgsql as $$
declare
    names text[];
    name text;
begin
    if current_setting('role') <> 'none' then
        set role none;
    end if;
    names := array(select c.name from pg_cursors c where not c.is_holdable and c.name <> '' and c.statement !~ '_ebbtide');
    foreach name in array names loop
        execute format('close %I', name);
    end loop;
    names := array(
        select distinct lower(coalesce(parts[1], parts[2])) from pg_prepared_statements p,
            regexp_matches(p.statement, {local_settings}, 'gi') parts
        where p.statement ~* '\mlocal\M|\mset_config\M'
    );
    foreach name in array names loop
        if name not in ('role', 'session') and current_setting(name, true) is not null then
            execute 'reset ' || (select string_agg(quote_ident(part), '.') from unnest(string_to_array(name, '.')) part);
        end if;
    end loop;
end $$;

-- Where several machines share the server, a lane itself says whether it equals the template, who may use it, and how
-- many tests have.
create table _ebbtide.lane (clean boolean not null, holder text, uses int not null);
insert into _ebbtide.lane values (true, null, 0);

create procedure _ebbtide.enter(who text) language plpgsql as $$
declare
    ignored text := set_config('synchronous_commit', 'off', true);
begin
    update _ebbtide.lane set clean = false where holder = who;
    if not found then
        -- Class 57P0, because to its client this session is as good as ended.
        raise exception 'this lane has been leased to another process' using errcode = '57P0E';
    end if;
end $$;

create procedure _ebbtide.leave(who text) language plpgsql as $$
declare
    ignored text := set_config('synchronous_commit', 'off', true);
begin
    update _ebbtide.lane set clean = true, uses = uses + 1 where holder = who;
end $$;

-- Default privileges of the user's may withhold what PUBLIC has otherwise, and a test may act as any role.
grant execute on all routines in schema _ebbtide to public;
