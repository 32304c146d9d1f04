-- What the tables held when the template was sealed: how many rows, how large the file is, where to read the rows
-- without a trace, and what puts them back. Other relations' rows cannot be put back.
create table _ebbtide.contents (
    relation regclass primary key,
    rows bigint not null,
    bytes bigint not null,
    source text not null,
    restored text
);
insert into _ebbtide.contents
select c.relation, c.rows, pg_relation_size(c.relation), c.source, c.restored
from ({contents}) c(relation, rows, source, restored) where c.relation is not null;

-- Read after a test's rollback, in the same message: the server counts what the session did only until then.
create view _ebbtide.rewound as
{look};

-- What `pg_class` keeps for the planner. Some commands write it in place, which a rollback does not undo.
-- Beyond `allowed` bytes a file costs the planner more than the template's; it looks at no TOAST table and no sequence.
-- A table that was never analysed may have ten pages: the planner takes a smaller one for one of ten (estimate_rel_size
-- in PostgreSQL's src/backend/optimizer/util/plancat.c). The first row of an empty index takes a page.
create table _ebbtide.estimates as
select oid, relpages, reltuples, relallvisible, relhasindex, relhasrules, relhastriggers, relhassubclass,
    case
        when relkind in ('r', 'm') and reltuples < 0 and not relhassubclass then greatest(size, 10 * page)
        when relkind = 'i' then greatest(size, 2 * page)
        when relkind not in ('t', 'S') then size
    end as allowed
from pg_class, pg_relation_size(oid) size, cast(current_setting('block_size') as bigint) page
where relkind in ('r', 'm', 'i', 't', 'S') and oid >= 16384 and relnamespace <> '_ebbtide'::regnamespace;

-- Rows of a lane with a transaction identifier after `changed` are a test's. `counted_since` is the moment from which on
-- the server has counted what was written to this database. `objects` is the number of rows in each of the catalogs.
create table _ebbtide.baseline (changed xid not null, counted_since timestamptz, objects bigint[] not null);

-- What the server kept about the database when the template was sealed. A copy is given the same.
create table _ebbtide.database (state text);
insert into _ebbtide.database select {database_state};

-- After a test that was rolled back: whether the planner would see the dead rows or the numbers that are left, so that
-- only a new copy will do.
create view _ebbtide.estimates_seen as
select exists (select from _ebbtide.estimates e where e.allowed is not null and pg_relation_size(e.oid) > e.allowed)
    or {estimates_differ} as seen;

-- A transaction of its own, while no other session is on the database. Raises EB001 where only a new copy will do, and
-- EB002 where the database has to go at once.
create procedure _ebbtide.reset() language plpgsql as $$
<<_ebbtide_reset>>
declare
    before _ebbtide.baseline;
    self oid;
    present record;
    changed regclass[] := '{}';
    restoring text[] := '{}';
    is_restored bool := false;
    is_superuser bool := current_setting('is_superuser') = 'on';
    statement text;
    ignored text;
    -- A transaction identifier with a lower age is a test's.
    oldest int;
begin
    {refusal}
    -- What is written here is not the next test's. Only a superuser may say so, and only a superuser empties tables.
    if is_superuser then
        ignored := set_config('track_counts', 'off', true);
    end if;
    select oid into strict self from pg_database where datname = current_database();
    -- Tests on other databases of the server see these: they do not wait for a copy in the background. The functions
    -- below the views `pg_prepared_xacts` and `pg_replication_slots`, which join tables to them.
    if exists (select from pg_prepared_xact() where dbid = self)
        or exists (select from pg_get_replication_slots() where datoid = self)
    then
        raise exception 'the server holds something of this database' using errcode = 'EB002';
    end if;
    if (select state from _ebbtide.database) is distinct from {database_state} then
        raise exception 'the database itself has changed' using errcode = 'EB001';
    end if;
    select * into strict before from _ebbtide.baseline;
    oldest := age(before.changed);
    -- A test may have reset the counters, which changes this moment.
    if pg_stat_get_db_stat_reset_time(self) is distinct from before.counted_since then
        raise exception 'the server has counted anew' using errcode = 'EB001';
    end if;
    -- Our own tables count too, but for those that every test changes.
    if exists (
        select from pg_class r where r.relkind = 'r' and not r.relisshared
            and (r.relnamespace = 'pg_catalog'::regnamespace or r.relnamespace = '_ebbtide'::regnamespace
                and r.relname not in ('baseline', 'lane', 'open_test'))
            and pg_stat_get_tuples_inserted(r.oid) + pg_stat_get_tuples_updated(r.oid) + pg_stat_get_tuples_deleted(r.oid) > 0
    ) then
        raise exception 'the schema has changed' using errcode = 'EB001';
    end if;
    -- The server counts nothing for a session with `track_counts = off`: look at the objects themselves.
    if {objects} <> before.objects then
        raise exception 'the schema has changed without being counted' using errcode = 'EB001';
    end if;
    for present in
        select c.*, pg_relation_size(c.relation) as bytes_now, k.number as rows_now,
            pg_stat_get_tuples_inserted(c.relation) + pg_stat_get_tuples_updated(c.relation)
                + pg_stat_get_tuples_deleted(c.relation) > 0 as is_counted
        from _ebbtide.contents c left join ({kept}) k(relation, number) on k.relation = c.relation
    loop
        if not present.is_counted and present.bytes_now = present.bytes then
            continue when present.bytes = 0 or present.rows > {looked_at};
            if present.rows_now is null then
                ignored := set_config('enable_seqscan', case when present.restored is null then 'off' else 'on' end, true);
                execute format('select {unwritten} from %s', oldest, present.source) into present.rows_now;
            end if;
            continue when present.rows_now = present.rows;
        end if;
        if present.restored is null then
            raise exception 'a new copy is quicker than restoring %', present.relation using errcode = 'EB001';
        end if;
        changed := changed || present.relation;
        if present.restored <> '' then
            restoring := restoring || present.restored;
        end if;
    end loop;
    if changed <> '{}' then
        -- Neither triggers, nor foreign keys, nor rules: what they would see is not the test's business any more. These
        -- flags do the same as `session_replication_role`, which makes the session plan every statement again. PostgreSQL
        -- refuses to truncate a table alone that a foreign key refers to, and recognises such a table by them, too.
        update pg_class set relhastriggers = false, relhasrules = false
        where oid = any(changed) and (relhastriggers or relhasrules);
        -- An empty file, because rows that were only deleted would change the order of later ones.
        execute 'truncate only ' || array_to_string(changed, ', only ');
        foreach statement in array restoring loop
            execute statement;
        end loop;
    end if;
    {restore_estimates}
    perform setval(sequence, value, called) from _ebbtide.sequences;
    -- The next reset counts from here. No transaction undoes this; a lane whose reset fails is copied again.
    if changed <> '{}' or is_restored then
        perform pg_stat_reset(), pg_stat_clear_snapshot();
    end if;
    update _ebbtide.baseline
    set changed = pg_current_xact_id()::xid, counted_since = pg_stat_get_db_stat_reset_time(self);
end $$;

-- After the last object. Nothing is younger than this transaction.
insert into _ebbtide.baseline
select pg_current_xact_id()::xid, pg_stat_get_db_stat_reset_time(oid), {objects}
from pg_database, (values (0)) _ebbtide_reset(oldest) where datname = current_database();
