create schema _ebbtide;

-- A test may act as another role, which needs access to these objects too.
grant usage on schema _ebbtide to public;

-- The message that opens a test's transaction inserts a row. The insert arms the trigger below,
-- which fires at a commit and refuses it, so the row is never committed. The first message on a
-- connection also writes the identity of the server that the lane lock belongs to. The check fails
-- on any other server, for example a new container at the same port.
create unlogged table _ebbtide.open_test (
    server text constraint another_server check (server = current_setting('ebbtide.identity', true))
);
grant select, insert, delete on _ebbtide.open_test to public;

-- Fires for a row of open_test: at a commit, and at SET CONSTRAINTS .. IMMEDIATE.
--   ebbtide.closing = on            the end of a test, or the commit of a kept database: allowed
--   within a function               no commit is possible there: armed again
--   a message with SET CONSTRAINTS  no commit, unless with COMMIT, END or PREPARE: armed again
--   anything else                   a commit: refused
create function _ebbtide.refuse_commit() returns trigger language plpgsql as $$
declare
    stack text;
begin
    if current_setting('ebbtide.closing', true) = 'on' then
        return null;
    end if;
    get diagnostics stack = pg_context;
    -- More than one line: a function called this one. PostgreSQL does not commit a transaction that
    -- a client has begun from within a function (2D000), so this is SET CONSTRAINTS in a function.
    -- Otherwise the text of the client's message decides. A message with SET CONSTRAINTS and none
    -- of the words that commit cannot be a commit. A message with both is refused. Arming again
    -- takes both statements. SET CONSTRAINTS has made the constraint immediate for this
    -- transaction. The row whose event has just fired fires no second time.
    if stack ~ '\n' or (current_query() ~* '\mset\s+constraints\M'
        and current_query() !~* '\m(commit|end|prepare)\M')
    then
        set constraints _ebbtide.refuse_commit deferred;
        insert into _ebbtide.open_test default values;
        return null;
    end if;
    raise exception
        'COMMIT refused: this test''s transaction belongs to ebbtide and is rolled back at its end'
        using errcode = '25000', hint =
            'Code that commits needs its own database: give its test an ebbtide::Database.';
end $$;

create constraint trigger refuse_commit after insert on _ebbtide.open_test
    deferrable initially deferred for each row execute function _ebbtide.refuse_commit();
-- A test may set session_replication_role = replica, which stops ordinary triggers. This one fires
-- all the same.
alter table _ebbtide.open_test enable always trigger refuse_commit;

-- The values of the sequences in the template. ROLLBACK undoes neither `nextval` nor `setval`
-- (https://www.postgresql.org/docs/current/functions-sequence.html), so the end of a test sets them
-- again.
create table _ebbtide.sequences (
    sequence regclass primary key,
    value bigint not null,
    called boolean not null
);
{insert_sequences}

-- The end of a test reads views and calls no procedure: the first procedure of a session loads its
-- language, which takes several milliseconds.

-- The deferrable constraints, which a commit would check and the end of a test checks with SET
-- CONSTRAINTS. Naming them spares a call of the trigger above. From nine constraints on, looking up
-- each name takes longer than that call. The role that the test acts as may also have no access to
-- a schema. In both cases: all.
create view _ebbtide.deferrable as
select case
        when count(*) > 8 or not bool_and(has_schema_privilege(n.oid, 'usage')) then 'all'
        else string_agg(format('%I.%I', n.nspname, c.conname), ', ')
    end as names
from pg_constraint c join pg_namespace n on n.oid = c.connamespace
where c.condeferrable and c.conparentid = 0 and n.nspname <> '_ebbtide';

-- In a sandbox, the application's COMMIT only releases a savepoint. When the connection goes back
-- to the pool, the statements of this view end what a real COMMIT would have ended. That is the
-- role, cursors without HOLD, and settings that a prepared statement has set with LOCAL.
create view _ebbtide.locals as
select string_agg(statement, '; ') as statements
from (
    select 'set role none' as statement where current_setting('role') <> 'none'
    union all
    select format('close %I', c.name) from pg_cursors c
    where not c.is_holdable and c.name <> '' and c.statement !~ '_ebbtide'
    union all
    select 'reset ' || (
        select string_agg(quote_ident(part), '.') from unnest(string_to_array(l.name, '.')) part
    )
    from (
        select distinct lower(coalesce(parts[1], parts[2])) as name
        from pg_prepared_statements p,
            regexp_matches(p.statement, {local_settings}, 'gi') parts
        where p.statement ~* '\mlocal\M|\mset_config\M'
    ) l
    where l.name not in ('role', 'session') and current_setting(l.name, true) is not null
) s(statement);

grant select on _ebbtide.deferrable, _ebbtide.locals to public;

-- On an external server there are no lane files. There the lane itself records whether it equals
-- the template, which process holds it, and how many tests have used it.
--
-- Before a test, the holder marks the lane as not equal, and sets `held` to whether it is still the
-- holder. If another process is, this process has lost its lane lock without noticing. The check
-- then fails, so this process cannot use the lane.
create table _ebbtide.lane (
    clean boolean not null,
    holder text,
    uses int not null,
    held boolean not null constraint leased_to_another_process check (held)
);
insert into _ebbtide.lane values (true, null, 0, true);
-- A test's session may be that of another role.
grant select, update on _ebbtide.lane to public;

-- The user's default privileges may withhold what PUBLIC has otherwise, and a test may act as any
-- role.
grant execute on all routines in schema _ebbtide to public;
