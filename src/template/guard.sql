create schema _ebbtide;

-- A test may act as another role.
grant usage on schema _ebbtide to public;

-- A row is written when a test's transaction opens and never committed: its trigger refuses that.
create unlogged table _ebbtide.open_test (pid int);
grant insert, delete on _ebbtide.open_test to public;

create function _ebbtide.refuse_commit() returns trigger language plpgsql as $$
begin
    if current_setting('ebbtide.closing', true) = 'on' then
        return null;
    end if;
    raise exception 'COMMIT refused: this test''s transaction belongs to ebbtide and is rolled back at its end'
        using errcode = '25000',
              hint = 'Code that commits for itself needs an isolation that allows it: a database of its own.';
end $$;

create constraint trigger refuse_commit after insert on _ebbtide.open_test
    deferrable initially deferred for each row execute function _ebbtide.refuse_commit();

-- The first message to a lane makes sure that this is the server that its lease speaks of.
create procedure _ebbtide.attach(wanted text) language plpgsql as $$
begin
    if current_setting('ebbtide.identity', true) is distinct from wanted then
        raise exception 'this is another server: % instead of %', current_setting('ebbtide.identity', true), wanted
            using errcode = '08004';
    end if;
end $$;

-- Procedures, because a CALL without output sends the client nothing to decode. An assignment is evaluated without
-- a query of its own, unlike PERFORM. What rollback does not undo is undone here, for the test before.
create procedure _ebbtide.open() language plpgsql as $$
declare
    ignored text := set_config('ebbtide.test', 'open', true) || pg_advisory_unlock_all()::text;
begin
    {restore_sequences}
    discard sequences;
    deallocate all;
    insert into _ebbtide.open_test values (pg_backend_pid());
end $$;

-- Before the rollback: did the test leave the transaction, and would it have been committed?
create procedure _ebbtide.check() language plpgsql as $$
declare
    ignored text;
begin
    if current_setting('ebbtide.test', true) is distinct from 'open' then
        raise exception 'the test has ended its transaction' using errcode = '25P01';
    end if;
    ignored := set_config('ebbtide.closing', 'on', true);
    set constraints all immediate;
end $$;

-- Where several machines share the server, a lane itself says whether it equals the template and who may use it.
create table _ebbtide.lane (clean boolean not null, holder text);
insert into _ebbtide.lane values (true, null);

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
    update _ebbtide.lane set clean = true where holder = who;
end $$;
