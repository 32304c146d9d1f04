-- What ROLLBACK TO SAVEPOINT does not restore, recorded for Tx::checkpoint and restored for
-- Tx::rewind_to: sequences, the session's advisory locks, and statements prepared in SQL.

-- The value of a sequence, as setval takes it. A test may act as a role that cannot read the
-- sequence, so the function runs with the rights of its owner. A view could call any function with
-- these rights, so only sequences are read.
create function _ebbtide.sequence_state(sequence regclass, out value bigint, out called boolean)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    cached boolean := (select seqcache > 1 from pg_sequence where seqrelid = sequence);
begin
    if cached is null then
        return;
    end if;
    execute format('select last_value, is_called from %s', sequence) into value, called;
    -- With CACHE, last_value is the last number that the session has reserved
    -- (https://www.postgresql.org/docs/current/sql-createsequence.html). currval returns the last
    -- one that it has used, and fails if it has used none.
    if cached and called then
        begin
            value := currval(sequence);
        exception when object_not_in_prerequisite_state then
            null;
        end;
    end if;
end $$;

-- The advisory locks of the session, each as the end of a call that takes or releases it. pg_locks
-- shows a bigint key as two halves, and numbers without a sign
-- (https://www.postgresql.org/docs/current/view-pg-locks.html).
create view _ebbtide.advisory_locks as
select case mode when 'ShareLock' then '_shared' else '' end
    || case objsubid
        when 1 then format('(%L)', classid::bigint << 32 | objid::bigint)
        else format('(%L, %L)', classid::bigint::bit(32)::int, objid::bigint::bit(32)::int)
    end as lock
from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() and granted;
grant select on _ebbtide.advisory_locks to public;

create function _ebbtide.checkpoint_state() returns text
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- A rollback restores neither the position of a cursor nor a closed one
    -- (https://www.postgresql.org/docs/current/sql-rollback-to.html).
    cursors text := (
        select string_agg(name, ', ') from pg_cursors where name <> '' and statement !~ '_ebbtide'
    );
begin
    if cursors is not null then
        raise exception 'an open cursor: %', cursors using errcode = 'EB003';
    end if;
    return jsonb_build_object(
        'sequences', (
            select jsonb_agg(jsonb_build_object(
                'sequence', seqrelid, 'value', state.value, 'called', state.called
            ))
            from pg_sequence join pg_class on pg_class.oid = seqrelid,
                _ebbtide.sequence_state(seqrelid) state
            -- No session can read a temporary sequence of another one.
            where relpersistence <> 't' or relnamespace = pg_my_temp_schema()
        ),
        'locks', (select jsonb_agg(lock) from _ebbtide.advisory_locks),
        'statements', (
            select jsonb_object_agg(name, statement) from pg_prepared_statements where from_sql
        )
    );
end $$;

-- The caller has rolled back to the savepoint, so the objects are those of the checkpoint.
create function _ebbtide.rewind(state jsonb) returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    known text[] := array(select jsonb_array_elements_text(nullif(state -> 'locks', 'null')));
    name text;
    is_done boolean;
begin
    -- Only sequences that have moved: setval also changes what currval returns.
    perform _ebbtide.set_sequence(before.sequence, before.value, before.called)
    from jsonb_to_recordset(nullif(state -> 'sequences', 'null'))
            before(sequence oid, value bigint, called boolean),
        _ebbtide.sequence_state(before.sequence) present
    where (present.value, present.called) is distinct from (before.value, before.called);
    -- A lock is released as often as it was taken, which no view shows.
    for name in select lock from _ebbtide.advisory_locks where lock <> all (known) loop
        loop
            execute 'select pg_advisory_unlock' || name into is_done;
            exit when not is_done
                or not exists (select from _ebbtide.advisory_locks where lock = name);
        end loop;
    end loop;
    foreach name in array known loop
        continue when exists (select from _ebbtide.advisory_locks where lock = name);
        execute 'select pg_try_advisory_lock' || name into is_done;
        if not is_done then
            raise exception 'another session holds the lock of pg_advisory_lock%', name
                using errcode = 'EB004';
        end if;
    end loop;
    -- The text of a statement may be a message with others, so a deallocated one is not prepared
    -- again: EXECUTE fails.
    for name in
        select p.name from pg_prepared_statements p
        where p.from_sql and p.statement is distinct from state -> 'statements' ->> p.name
    loop
        execute format('deallocate %I', name);
    end loop;
end $$;

grant execute on all routines in schema _ebbtide to public;
