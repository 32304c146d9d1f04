exists (
    select from pg_class c join _ebbtide.estimates e on e.oid = c.oid
    where (c.relpages, c.reltuples, c.relallvisible, c.relhasindex, c.relhasrules, c.relhastriggers,
            c.relhassubclass)
        is distinct from (e.relpages, e.reltuples, e.relallvisible, e.relhasindex, e.relhasrules,
            e.relhastriggers, e.relhassubclass)
)
