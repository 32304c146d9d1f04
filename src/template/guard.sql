create schema _ebbtide;

-- A test may act as another role.
grant usage on schema _ebbtide to public;

-- A row is written when a test's transaction opens and never committed: its trigger refuses that.
-- The first message to a lane names the server that its lease speaks of.
create unlogged table _ebbtide.open_test (
    server text constraint another_server check (server = current_setting('ebbtide.identity', true))
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

-- Where the sequences stand: rollback undoes neither `nextval` nor `setval`
-- (https://www.postgresql.org/docs/current/functions-sequence.html).
create table _ebbtide.sequences (sequence regclass primary key, value bigint not null, called boolean not null);
{insert_sequences}

-- What a test's end reads, as views: the first procedure of a session costs it several milliseconds, since it loads its
-- language.

-- The deferrable constraints, which a commit would check. Naming them spares the trigger above; with many of them,
-- looking each up takes longer, and their schemas may be closed to the role that the test acts as.
create view _ebbtide.deferrable as
select case
        when count(*) > 8 or not bool_and(has_schema_privilege(n.oid, 'usage')) then 'all'
        else string_agg(format('%I.%I', n.nspname, c.conname), ', ')
    end as names
from pg_constraint c join pg_namespace n on n.oid = c.connamespace
where c.condeferrable and c.conparentid = 0 and n.nspname <> '_ebbtide';

-- In a sandbox, the application's COMMIT releases a savepoint. What a real one would end is ended when the connection
-- goes back to the pool: a role, cursors, and settings that a prepared statement set for a transaction only.
create view _ebbtide.locals as
select string_agg(statement, '; ') as statements
from (
    select 'set role none' as statement where current_setting('role') <> 'none'
    union all
    select format('close %I', c.name) from pg_cursors c where not c.is_holdable and c.name <> '' and c.statement !~ '_ebbtide'
    union all
    select 'reset ' || (select string_agg(quote_ident(part), '.') from unnest(string_to_array(l.name, '.')) part)
    from (
        select distinct lower(coalesce(parts[1], parts[2])) as name
        from pg_prepared_statements p, regexp_matches(p.statement, {local_settings}, 'gi') parts
        where p.statement ~* '\mlocal\M|\mset_config\M'
    ) l
    where l.name not in ('role', 'session') and current_setting(l.name, true) is not null
) s(statement);

grant select on _ebbtide.deferrable, _ebbtide.locals to public;

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
