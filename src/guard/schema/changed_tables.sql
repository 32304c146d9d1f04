select c.relation::text, c.restored, case when not c.is_written and c.rows_now is null then c.source end, c.rows
from (
    select e.*, k.number as rows_now,
        pg_relation_size(e.relation) is distinct from e.bytes
            or pg_stat_get_tuples_inserted(e.relation) + pg_stat_get_tuples_updated(e.relation)
                + pg_stat_get_tuples_deleted(e.relation) > 0 as is_written
    from _ebbtide.contents e
        left join ({current_counts}) k(relation, number) on k.relation = e.relation
) c
where c.is_written or c.bytes > 0 and c.rows <= {max_rows_read} and c.rows_now is distinct from c.rows
