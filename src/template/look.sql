-- What a test may have left behind, in the words of `_ebbtide.check`. The first part asks the server again: within a
-- transaction it answers from a snapshot otherwise
-- (https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-VIEWS).
ignored := pg_stat_clear_snapshot()::text;
select concat_ws(
    ' ',
    coalesce(sum(pg_stat_get_xact_tuples_inserted(relation) + pg_stat_get_xact_tuples_updated(relation)), 0),
    (coalesce(sum(pg_stat_get_analyze_count(relation)), 0) > 0
        or pg_stat_get_xact_tuples_inserted('pg_catalog.pg_class'::regclass) > 0
        or pg_stat_get_xact_tuples_updated('pg_catalog.pg_class'::regclass) > 0
        or pg_stat_get_xact_tuples_inserted('pg_catalog.pg_statistic'::regclass) > 0
        or pg_stat_get_xact_tuples_updated('pg_catalog.pg_statistic'::regclass) > 0
        or current_setting('track_counts') = 'off')::int,
    ({keeps_state}
        or pg_stat_get_xact_tuples_inserted('pg_catalog.pg_type'::regclass) > 0
        or pg_stat_get_xact_tuples_inserted('pg_catalog.pg_extension'::regclass) > 0
        or exists (select from pg_prepared_statements where statement ~* {touching})
        {custom_settings})::int,
    ({sessions} is distinct from (select max(o.sessions) from _ebbtide.open_test o))::int
) into seen from _ebbtide.contents;
