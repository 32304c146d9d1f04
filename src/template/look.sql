-- Sets back the sequences, and reads what a test may have left behind although it was rolled back: the rows that it wrote,
-- which stay as dead ones; whether numbers of the planner may have changed, since ANALYZE and CREATE INDEX write them in
-- place (https://www.postgresql.org/docs/current/catalog-pg-class.html); and whether the session may differ from a new one
-- in what no command resets: a custom setting that was set once is empty and not NULL from then on, libraries stay loaded,
-- and the driver remembers types by their names.
select
    coalesce(sum(pg_stat_get_xact_tuples_inserted(relation) + pg_stat_get_xact_tuples_updated(relation)), 0) as rows,
    coalesce(sum(pg_stat_get_analyze_count(relation)), 0) > 0
        or pg_stat_get_xact_tuples_inserted('pg_catalog.pg_class'::regclass) > 0
        or pg_stat_get_xact_tuples_updated('pg_catalog.pg_class'::regclass) > 0
        or pg_stat_get_xact_tuples_inserted('pg_catalog.pg_statistic'::regclass) > 0
        or pg_stat_get_xact_tuples_updated('pg_catalog.pg_statistic'::regclass) > 0
        or current_setting('track_counts') = 'off' as estimates,
    {keeps_state}
        or {origin}
        or pg_stat_get_xact_tuples_inserted('pg_catalog.pg_type'::regclass) > 0
        or pg_stat_get_xact_tuples_inserted('pg_catalog.pg_extension'::regclass) > 0
        or exists (
            select from pg_prepared_statement() p
            where (p.statement ilike '%set%' or p.statement ilike '%load%') and p.statement ~* {touching}
        )
        {custom_settings} as session,
    -- A sequence that a test has used was read by its session. All of them where the session was not counted.
    (
        select count(setval(sequence, value, called)) from _ebbtide.sequences
        where pg_stat_get_xact_blocks_fetched(sequence) > 0 or current_setting('track_counts') = 'off'
    ) as restored
from _ebbtide.contents
