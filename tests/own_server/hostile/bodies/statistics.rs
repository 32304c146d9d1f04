//! Changes of PostgreSQL's statistics: of the cumulative counters, by which the reset finds what a
//! test has written, and of the planner's statistics.

use crate::hostile::body::{ANY, Body, DATABASE_ONLY, sql};

#[rustfmt::skip]
pub(super) const BODIES: &[Body] = &[
    sql("counters reset after an insert", DATABASE_ONLY, "insert into notes values (1, 'one')
        select pg_stat_force_next_flush()
        select pg_stat_reset()"),
    sql("counters reset at once", DATABASE_ONLY, "insert into notes values (1, 'one'); select pg_stat_reset()"),
    sql("counters of one table reset", DATABASE_ONLY, "insert into notes values (1, 'one')
        select pg_stat_force_next_flush()
        select pg_stat_reset_single_table_counters('notes'::regclass)"),
    sql("counters reset from another database", DATABASE_ONLY, "insert into notes values (1, 'one')
        select pg_stat_force_next_flush()
        admin: select pg_stat_reset_single_table_counters(0), pg_stat_reset_shared('bgwriter')"),
    sql("counters of a catalog reset after DDL", DATABASE_ONLY, "create table extra (id int)
        select pg_stat_force_next_flush()
        select pg_stat_reset()"),
    sql("counters of shared relations reset", DATABASE_ONLY, "insert into notes values (1, 'one')
        select pg_stat_reset_shared('archiver')"),
    sql("track_counts off", DATABASE_ONLY, "set track_counts = off
        insert into notes values (1, 'one')"),
    sql("track_counts off in the transaction", DATABASE_ONLY, "begin; set local track_counts = off; insert into notes values (1, 'one'); commit"),
    sql("track_counts off and DDL", DATABASE_ONLY, "set track_counts = off
        create table extra (id int)"),
    sql("track_counts off by set_config", DATABASE_ONLY, "select set_config('track_counts', 'off', false)
        insert into notes values (1, 'one')
        set track_counts = on"),
    sql("track_counts off in a function", DATABASE_ONLY,
        "create function quietly() returns void language sql set track_counts = off as 'insert into notes values (1, ''one'')'
        select quietly()
        drop function quietly()"),
    sql("track_counts off on another connection", DATABASE_ONLY, "elsewhere: set track_counts = off; update counted set body = 'changed'"),
    sql("track_counts off for the database", DATABASE_ONLY, "alter database {db} set track_counts = off
        elsewhere: insert into notes values (1, 'one')
        alter database {db} reset track_counts"),
    sql("track_counts off for the role in the database", DATABASE_ONLY, "alter role {role} in database {db} set track_counts = off
        elsewhere: insert into notes values (1, 'one')
        elsewhere: create table extra (id int)
        alter role {role} in database {db} reset track_counts"),
    sql("ANALYZE", ANY, "insert into notes select n, 'x' from generate_series(1, 1000) n
        analyze notes
        analyze counted"),
    sql("ANALYZE of everything", ANY, "analyze"),
    sql("ANALYZE that is rolled back", ANY, "begin; insert into entries select n, 1, 'x' from generate_series(1, 1000) n; analyze entries; rollback"),
    sql("ANALYZE in a transaction that the application rolls back", ANY, "<begin>
        insert into entries select n, 1, 'x' from generate_series(1, 1000) n
        analyze entries
        <rollback>"),
    sql("CREATE INDEX that is rolled back", ANY, "<begin>
        insert into notes select n, 'x' from generate_series(1, 1000) n
        create index on notes (n)
        <rollback>"),
    sql("CREATE INDEX", ANY, "insert into notes select n, 'x' from generate_series(1, 1000) n
        create index on notes (n)"),
    sql("CREATE INDEX on an empty table", ANY, "create index on notes (n)"),
    sql("rows that are rolled back", ANY, "<begin>
        insert into notes select n, repeat('x', 300) from generate_series(1, 3000) n
        <rollback>"),
    sql("extended statistics", ANY, "create statistics measured_both on n, value from measured
        analyze measured"),
    sql("statistics from the migration, replaced", ANY, "update measured set value = 3
        analyze measured"),
    sql("statistics targets", ANY, "alter table measured alter column value set statistics 1
        alter table measured set (parallel_workers = 4)"),
    sql("dead rows", ANY, "do $$ begin for i in 1..30 loop update measured set value = value + 1; end loop; end $$"),
];
