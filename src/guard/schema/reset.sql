-- The contents of the tables when the template was sealed.
--   source    the FROM clause that reads the rows without changing the table
--   restored  the statement that inserts the rows again; empty for a table without rows; null if
--             the rows cannot be restored
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

create view _ebbtide.rewound as
{rewound_query};

-- The same for a session that is logged in as another role. Tables are read with the privileges of
-- the view's owner, but functions run with those of the session
-- (https://www.postgresql.org/docs/current/rules-privileges.html). So a function of the view's
-- owner sets the sequences.
create function _ebbtide.set_sequence(regclass, bigint, boolean) returns bigint
    language sql security definer set search_path = pg_catalog, pg_temp
    as 'select setval($1, $2, $3)';
grant execute on function _ebbtide.set_sequence(regclass, bigint, boolean) to public;

create view _ebbtide.rewound_of_role as
{rewound_of_role_query};

-- The columns of `pg_class` that the planner reads. Some commands write them in place, which
-- ROLLBACK does not undo. `allowed` is the largest file size in bytes with which the planner's
-- estimates stay the same. It is null for TOAST tables and sequences, whose size the planner does
-- not read. A table that was never analysed may have ten pages: the planner assumes ten for a
-- smaller one (estimate_rel_size in PostgreSQL's src/backend/optimizer/util/plancat.c). The first
-- row of an empty index adds a page to its metapage.
create table _ebbtide.estimates as
select oid, relpages, reltuples, relallvisible, relhasindex, relhasrules, relhastriggers,
    relhassubclass,
    case
        when relkind in ('r', 'm') and reltuples < 0 and not relhassubclass
            then greatest(size, 10 * page)
        when relkind = 'i' then greatest(size, 2 * page)
        when relkind not in ('t', 'S') then size
    end as allowed
from pg_class, pg_relation_size(oid) size, cast(current_setting('block_size') as bigint) page
where relkind in ('r', 'm', 'i', 't', 'S') and oid >= 16384
    and relnamespace <> '_ebbtide'::regnamespace;

-- What a reset compares the lane with.
--   changed        the transaction of the template's seal, or of the last reset; younger rows were
--                  written by a test
--   counted_since  the moment since when the server has counted the writes to this database
--   objects        the number of rows in each of the catalogs
create table _ebbtide.baseline (
    changed xid not null,
    counted_since timestamptz,
    objects bigint[] not null
);

-- The properties in shared catalogs when the template was sealed. A copy receives the same.
create table _ebbtide.database (state text);
insert into _ebbtide.database select {database_state};

-- After a test that was rolled back: whether dead rows or changed statistics would change the
-- planner's estimates. Then the lane must be reset or copied again.
create view _ebbtide.estimates_seen as
select exists (
        select from _ebbtide.estimates e
        where e.allowed is not null and pg_relation_size(e.oid) > e.allowed
    )
    or {estimates_differ} as seen;

grant select on _ebbtide.rewound_of_role, _ebbtide.estimates_seen to public;

-- Makes the lane equal to the template. The caller runs it in a transaction of its own, while no
-- other session is on the database. Raises EB001 if the lane must be copied again, and EB002 if the
-- database must also be dropped at once.
--
-- The checks come first, so that no table is restored in a lane that must be copied. The statistics
-- come after the tables, because TRUNCATE and the inserts change them.
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
    -- A row whose transaction identifier has a lower age was written by a test.
    oldest int;
begin
    {refusal}
    -- The writes of this procedure must not count as writes of the next test. Only a superuser may
    -- turn the counts off, and only for a superuser does this procedure truncate tables.
    if is_superuser then
        ignored := set_config('track_counts', 'off', true);
    end if;
    select oid into strict self from pg_database where datname = current_database();
    -- Tests on other databases of the server see prepared transactions and replication slots, so
    -- they cannot stay until the lane is copied in the background. These are the functions below
    -- the views `pg_prepared_xacts` and `pg_replication_slots`; the views join catalogs to them,
    -- which takes longer.
    if exists (select from pg_prepared_xact() where dbid = self)
        or exists (select from pg_get_replication_slots() where datoid = self)
    then
        raise exception 'the database has a prepared transaction or a replication slot'
            using errcode = 'EB002';
    end if;
    if (select state from _ebbtide.database) is distinct from {database_state} then
        raise exception 'the properties of the database have changed' using errcode = 'EB001';
    end if;
    select * into strict before from _ebbtide.baseline;
    oldest := age(before.changed);
    -- pg_stat_reset() sets the counts to zero, and changes this moment.
    if pg_stat_get_db_stat_reset_time(self) is distinct from before.counted_since then
        raise exception 'the counts have been reset' using errcode = 'EB001';
    end if;
    -- Writes to the tables of `_ebbtide` count as changes too, except to those that every test
    -- writes.
    if exists (
        select from pg_class r where r.relkind = 'r' and not r.relisshared
            and (r.relnamespace = 'pg_catalog'::regnamespace
                or r.relnamespace = '_ebbtide'::regnamespace
                and r.relname not in ('baseline', 'lane', 'open_test'))
            and pg_stat_get_tuples_inserted(r.oid) + pg_stat_get_tuples_updated(r.oid)
                + pg_stat_get_tuples_deleted(r.oid) > 0
    ) then
        raise exception 'the schema has changed' using errcode = 'EB001';
    end if;
    -- A test with `track_counts = off` was not counted. So the rows of the catalogs and tables are
    -- read as well.
    if {object_counts} <> before.objects then
        raise exception 'the schema has changed without being counted' using errcode = 'EB001';
    end if;
    for present in
        select c.*, pg_relation_size(c.relation) as bytes_now, k.number as rows_now,
            pg_stat_get_tuples_inserted(c.relation) + pg_stat_get_tuples_updated(c.relation)
                + pg_stat_get_tuples_deleted(c.relation) > 0 as is_counted
        from _ebbtide.contents c
            left join ({current_counts}) k(relation, number) on k.relation = c.relation
    loop
        if not present.is_counted and present.bytes_now = present.bytes then
            continue when present.bytes = 0 or present.rows > {max_rows_read};
            if present.rows_now is null then
                ignored := set_config(
                    'enable_seqscan',
                    case when present.restored is null then 'off' else 'on' end,
                    true
                );
                execute format('select {count_unless_written} from %s', oldest, present.source)
                    into present.rows_now;
            end if;
            continue when present.rows_now = present.rows;
        end if;
        if present.restored is null then
            raise exception 'a new copy is quicker than restoring %', present.relation
                using errcode = 'EB001';
        end if;
        changed := changed || present.relation;
        if present.restored <> '' then
            restoring := restoring || present.restored;
        end if;
    end loop;
    if changed <> '{}' then
        -- Triggers, foreign keys and rules must not act on the reset. Without these flags the
        -- server does not look for them. Setting `session_replication_role` has the same effect,
        -- but makes the session plan every statement again. PostgreSQL refuses to truncate a table
        -- alone that a foreign key refers to; it recognises such a table by `relhastriggers`, too.
        -- The flags are restored with the statistics below.
        update pg_class set relhastriggers = false, relhasrules = false
        where oid = any(changed) and (relhastriggers or relhasrules);
        -- TRUNCATE, because a DELETE leaves dead rows, which change the order of later rows.
        execute 'truncate only ' || array_to_string(changed, ', only ');
        foreach statement in array restoring loop
            execute statement;
        end loop;
    end if;
    {restore_estimates}
    perform setval(sequence, value, called) from _ebbtide.sequences;
    -- The next reset starts from zero. ROLLBACK does not undo pg_stat_reset(), but a lane whose
    -- reset fails is copied again.
    if changed <> '{}' or is_restored then
        perform pg_stat_reset(), pg_stat_clear_snapshot();
    end if;
    update _ebbtide.baseline
    set changed = pg_current_xact_id()::xid, counted_since = pg_stat_get_db_stat_reset_time(self);
end $$;

-- Last, so that no row of the template is younger than this transaction.
insert into _ebbtide.baseline
select pg_current_xact_id()::xid, pg_stat_get_db_stat_reset_time(oid), {object_counts}
from pg_database, (values (0)) _ebbtide_reset(oldest) where datname = current_database();
