if changed <> '{}' or {estimates_differ} then
    if not is_superuser then
        raise exception 'only a superuser may restore the statistics of the planner'
            using errcode = 'EB001';
    end if;
    update pg_class c
    set relpages = e.relpages, reltuples = e.reltuples, relallvisible = e.relallvisible,
        relhasindex = e.relhasindex, relhasrules = e.relhasrules, relhastriggers = e.relhastriggers,
        relhassubclass = e.relhassubclass
    from _ebbtide.estimates e
    where e.oid = c.oid
        and (c.relpages, c.reltuples, c.relallvisible, c.relhasindex, c.relhasrules,
                c.relhastriggers, c.relhassubclass)
            is distinct from (e.relpages, e.reltuples, e.relallvisible, e.relhasindex,
                e.relhasrules, e.relhastriggers, e.relhassubclass);
    is_restored := true;
end if;
