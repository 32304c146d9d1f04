-- Restores the sequences, and returns what a test may have left although it was rolled back. The
-- end of a test reads this view in the same message as the ROLLBACK. At the end of a message a
-- session passes its counts on and starts from zero.
--
--   rows       how many rows the test wrote. They stay in the files as dead rows.
--   estimates  whether the planner's statistics may have changed. ANALYZE and CREATE INDEX write
--              them in place (https://www.postgresql.org/docs/current/catalog-pg-class.html).
--              Also true if the test turned track_counts off.
--   session    whether the session may differ from a new one in what no command resets. A custom
--              setting that was set once is empty and not NULL from then on. Libraries stay loaded.
--              The driver caches types by their names.
--   restored   how many sequences were set.
--
-- One scan of one table: each further table costs a new session most of what the view costs.
select
    coalesce(
        sum(
            pg_stat_get_xact_tuples_inserted(relation) + pg_stat_get_xact_tuples_updated(relation)
        ) filter (where value is null),
        0
    ) as rows,
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
            where (p.statement ilike '%set%' or p.statement ilike '%load%')
                and p.statement ~* {session_changing_statements}
        )
        {custom_settings} as session,
    -- A session that uses a sequence reads its block, and the server counts that. If the session
    -- was not counted, every sequence is set.
    count({set_sequence}(relation, value, called)) filter (
        where value is not null
            and (
                pg_stat_get_xact_blocks_fetched(relation) > 0
                or current_setting('track_counts') = 'off'
            )
    ) as restored
from _ebbtide.watched
