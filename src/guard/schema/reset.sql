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

-- What the end of each test examines: the tables, and the sequences with their values in the
-- template. The whole table is read, and a new session would have to load an index, so it has none.
create table _ebbtide.watched as
select relation, null::bigint as value, null::boolean as called from _ebbtide.contents
union all
select sequence, value, called from _ebbtide.sequences;

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
    or exists (
        select from pg_class c join _ebbtide.estimates e on e.oid = c.oid
        where {planner_columns_differ}
    ) as seen;

grant select on _ebbtide.rewound_of_role, _ebbtide.estimates_seen to public;

-- What the client must know before it makes the lane equal to the template: one row. The client
-- reads it in the transaction of the reset, while no other session is on the database.
--   drop_needed  whether the database must be dropped at once. Tests on other databases of the
--                server see prepared transactions and replication slots, so they cannot stay until
--                the lane is copied in the background. The functions are those below the views
--                `pg_prepared_xacts` and `pg_replication_slots`; the views join catalogs to them,
--                which takes longer
--   refusal      why the lane must be copied again; null if a reset can make it equal
--   oldest       a row whose transaction identifier has a lower age was written by a test
create view _ebbtide.reset_state as
select
    exists (select from pg_prepared_xact() where dbid = d.oid)
        or exists (select from pg_get_replication_slots() where datoid = d.oid) as drop_needed,
    case
        {refusal}
        when (select state from _ebbtide.database) is distinct from {database_state}
            then 'the properties of the database have changed'
        -- pg_stat_reset() sets the counts to zero, and changes this moment.
        when pg_stat_get_db_stat_reset_time(d.oid) is distinct from _ebbtide_reset.counted_since
            then 'the counts have been reset'
        -- Writes to the tables of `_ebbtide` count as changes too, except to those that every test
        -- writes.
        when exists (
            select from pg_class r where r.relkind = 'r' and not r.relisshared
                and (r.relnamespace = 'pg_catalog'::regnamespace
                    or r.relnamespace = '_ebbtide'::regnamespace
                    and r.relname not in ('baseline', 'lane', 'open_test'))
                and pg_stat_get_tuples_inserted(r.oid) + pg_stat_get_tuples_updated(r.oid)
                    + pg_stat_get_tuples_deleted(r.oid) > 0
        ) then 'the schema has changed'
        -- A test with `track_counts = off` was not counted. So the rows of the catalogs and tables
        -- are read as well.
        when {object_counts} is distinct from _ebbtide_reset.objects
            then 'the schema has changed without being counted'
    end as refusal,
    _ebbtide_reset.oldest,
    current_setting('is_superuser') = 'on' as is_superuser
from pg_database d,
    (select age(changed) as oldest, counted_since, objects from _ebbtide.baseline) _ebbtide_reset
where d.datname = current_database();

-- The tables whose rows a test has changed, or may have changed.
--   restored  as in `contents`
--   unread    for a table whose rows the client must read: the FROM clause. Its rows have changed
--             if their number, or -1 if a row was written, differs from `rows`. Null for a table
--             whose rows have changed.
-- A function, because a view would keep a test from dropping a table. Its names are qualified.
create function _ebbtide.changed_tables(oldest int)
    returns table(relation text, restored text, unread text, rows bigint)
    language sql stable set search_path = pg_catalog, pg_temp as {changed_tables};

-- Last, so that no row of the template is younger than this transaction.
insert into _ebbtide.baseline
select pg_current_xact_id()::xid, pg_stat_get_db_stat_reset_time(oid), {object_counts}
from pg_database, (values (0)) _ebbtide_reset(oldest) where datname = current_database();
