//! The parts of a table or view.
//!
//! A partition has a part for each part of the partitioned table. It is read with the name of the
//! part there, so that one change of the partitioned table is reported once.

use super::query::Query;

/// SQL: what `pg_dump` prints about an index besides its definition. The index is `c` in `pg_class`
/// and `i` in `pg_index`.
macro_rules! index_properties {
    () => {
        "case when i.indisclustered then '(clustered)' end, \
         case when i.indisreplident then '(replica identity)' end, \
         (select string_agg(format('(column %s statistics %s)', attnum, attstattarget), ' ' order \
         by attnum) \
            from pg_attribute x where x.attrelid = c.oid and x.attstattarget <> -1)"
    };
}

pub(super) const QUERIES: [Query; 6] = [
    Query {
        catalog: "pg_class",
        kind: "'column'",
        namespace: "c.relnamespace",
        relation: "c.oid",
        name: "a.attname",
        definition: "concat_ws(' ', case when c.relkind in ('r', 'p', 'f') then \
        format_type(a.atttypid, a.atttypmod) end, \
            case when a.attcollation <> y.typcollation and c.relkind in ('r', 'p', 'f') then \
                (select format('collate %s.%s', m.nspname, o.collname) from pg_collation o \
                join pg_namespace m on m.oid = o.collnamespace where o.oid = a.attcollation) end, \
            case when a.attnotnull then 'not null' end, \
            (select concat_ws(' ', 'constraint ' || case when o.conname <> concat(c.relname, '_', \
            a.attname, '_not_null') \
                    and o.coninhcount = 0 then quote_ident(o.conname) end, \
                    case when o.connoinherit then 'no inherit' end, case when not o.convalidated \
                    then 'not valid' end) \
                from pg_constraint o where o.conrelid = c.oid and o.contype = 'n' and o.conkey[1] \
                = a.attnum), \
            case when a.attidentity <> '' then (select format('generated %s as identity \
                (sequence %s%s start %s increment %s minimum %s maximum %s%s%s)', \
                case when a.attidentity = 'a' then 'always' else 'by default' end, \
                seqrelid::regclass, \
                case when q.relpersistence <> c.relpersistence then case q.relpersistence when \
                'u' then ' unlogged' \
                    else ' logged' end end, \
                seqstart, seqincrement, seqmin, seqmax, ' cache ' || nullif(seqcache, 1), case \
                when seqcycle then ' cycle' end) \
                from pg_sequence join pg_depend e on e.classid = 'pg_class'::regclass and e.objid \
                = seqrelid \
                join pg_class q on q.oid = seqrelid \
                where e.refclassid = 'pg_class'::regclass and e.refobjid = a.attrelid and \
                e.refobjsubid = a.attnum \
                and e.deptype = 'i') end, \
            format(case when a.atthasdef then case to_jsonb(a) ->> 'attgenerated' \
                when 's' then 'generated always as (%s) stored' when 'v' then 'generated always \
                as (%s)' \
                else 'default %s' end end, pg_get_expr(f.adbin, f.adrelid)), \
            case when a.attstorage <> y.typstorage then 'storage ' || case a.attstorage when 'p' \
            then 'plain' \
                when 'e' then 'external' when 'm' then 'main' else 'extended' end end, \
            case when a.attlen = -1 then case to_jsonb(a) ->> 'attcompression' when 'p' then \
            'compression pglz' \
                when 'l' then 'compression lz4' end end, \
            case when a.attstattarget <> -1 then 'statistics ' || a.attstattarget end, \
            'with (' || array_to_string(a.attoptions, ', ') || ')', \
            'options (' || case when a.attfdwoptions is not null then (select \
            string_agg(format('%s %L', option_name, \
                option_value), ', ' order by n) from pg_options_to_table(a.attfdwoptions) \
                with ordinality o(option_name, option_value, n)) end || ')', \
            case when a.attinhcount > 0 and not c.relispartition then case when a.attislocal then \
            '(also inherited)' \
                else '(inherited)' end end)",
        object: "c.oid",
        part: "a.attnum",
        from: "pg_attribute a join pg_class c on c.oid = a.attrelid \
               left join pg_type y on y.oid = a.atttypid \
               left join pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum \
               where c.relkind in ('r', 'p', 'f', 'v', 'm') and a.attnum > 0 and not \
               a.attisdropped \
               and c.relpersistence <> 't' and c.oid >= 16384",
        acl: "a.attacl",
        default_acl: "'{}'::aclitem[]",
        grantor: "c.relowner",
        // Neither the sequence of an identity column nor a NOT NULL constraint is an object of its
        // own here.
        more_comments: "(select string_agg(t, e'\\n' order by t) from (\
            select 'comment on the sequence: ' || p.description as t from pg_depend e \
                join pg_description p on p.classoid = 'pg_class'::regclass and p.objoid = e.objid \
                and p.objsubid = 0 \
                where a.attidentity <> '' and e.classid = 'pg_class'::regclass \
                and e.refclassid = 'pg_class'::regclass and e.refobjid = a.attrelid \
                and e.refobjsubid = a.attnum and e.deptype = 'i' \
            union all select 'comment on the not-null constraint: ' || p.description from \
            pg_constraint o \
                join pg_description p on p.classoid = 'pg_constraint'::regclass and p.objoid = \
                o.oid \
                where a.attnotnull and o.conrelid = c.oid and o.contype = 'n' and o.conkey[1] = \
                a.attnum) m)",
        parent_relation: "case when a.attinhcount > 0 then (select inhparent from pg_inherits h \
            where h.inhrelid = c.oid order by inhseqno limit 1) end",
        parent_name: "a.attname::text",
        ..Query::EMPTY
    },
    // NOT NULL constraints are left out: the definition of the column has `not null`. `pg_dump`
    // leaves out the foreign keys that a partition has from the partitioned table.
    Query {
        catalog: "pg_constraint",
        kind: "'constraint'",
        namespace: "o.connamespace",
        relation: "o.conrelid",
        name: "o.conname",
        definition: concat!(
            "concat_ws(' ', pg_get_constraintdef(o.oid), \
                (select concat_ws(' ', 'with (' || array_to_string(c.reloptions, ', ') || ')', ",
            index_properties!(),
            ") from pg_index i join pg_class c on c.oid = i.indexrelid \
                where i.indexrelid = o.conindid and o.contype in ('p', 'u', 'x')))"
        ),
        object: "o.oid",
        from: "pg_constraint o join pg_class t on t.oid = o.conrelid \
               left join pg_constraint p on p.oid = (to_jsonb(o) ->> 'conparentid')::oid \
               where o.contype in ('p', 'f', 'u', 'c', 'x') and (o.conislocal or t.relispartition) \
               and not (o.contype = 'f' and p.oid is not null)",
        // The comment of the index of a constraint, which is no object of its own here.
        more_comments: "(select 'comment on the index: ' || p.description from pg_description p \
            where o.contype in ('p', 'u', 'x') and p.classoid = 'pg_class'::regclass and p.objoid \
            = o.conindid \
            and p.objsubid = 0)",
        tablespace: "(select coalesce(max(reltablespace), 0::oid) from pg_class x \
            where o.contype in ('p', 'u', 'x') and x.oid = o.conindid)",
        parent_relation: "case when p.oid is not null then p.conrelid when o.coninhcount > 0 then \
            (select inhparent from pg_inherits h where h.inhrelid = t.oid order by inhseqno limit \
            1) end",
        parent_name: "coalesce(p.conname, o.conname)::text",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_class",
        kind: "'index'",
        namespace: "c.relnamespace",
        relation: "i.indrelid",
        name: "c.relname",
        definition: concat!(
            "concat_ws(' ', case when b.oid is null then pg_get_indexdef(c.oid) \
                else 'with (' || array_to_string(c.reloptions, ', ') || ')' end, \
                case when not i.indisvalid then '(invalid)' end, ",
            index_properties!(),
            ")"
        ),
        object: "c.oid",
        from: "pg_index i join pg_class c on c.oid = i.indexrelid \
               left join pg_inherits h on h.inhrelid = c.oid \
               left join pg_class b on b.oid = h.inhparent left join pg_index k on k.indexrelid = \
               b.oid",
        tablespace: "c.reltablespace",
        parent_relation: "k.indrelid",
        parent_name: "b.relname::text",
        ..Query::EMPTY
    },
    // A trigger that a partition has from the partitioned table can differ only in its state.
    Query {
        catalog: "pg_trigger",
        kind: "'trigger'",
        namespace: "c.relnamespace",
        relation: "c.oid",
        name: "t.tgname",
        definition: "case when p.oid is null then pg_get_triggerdef(t.oid) else '' end || \
            case when t.tgenabled = coalesce(p.tgenabled, 'O') then '' else case t.tgenabled \
                when 'D' then ' (disabled)' when 'R' then ' (enabled for replicas)' \
                when 'A' then ' (enabled always)' else ' (enabled)' end end",
        object: "t.oid",
        from: "pg_trigger t join pg_class c on c.oid = t.tgrelid \
               left join pg_trigger p on p.oid = (to_jsonb(t) ->> 'tgparentid')::oid where not \
               t.tgisinternal",
        parent_relation: "p.tgrelid",
        parent_name: "p.tgname::text",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_policy",
        kind: "'policy'",
        namespace: "c.relnamespace",
        relation: "c.oid",
        name: "p.polname",
        definition: "concat_ws(' ', case when p.polpermissive then 'permissive' else \
        'restrictive' end, \
            case p.polcmd when 'r' then 'for select' when 'a' then 'for insert' when 'w' then \
            'for update' \
                when 'd' then 'for delete' else 'for all' end, \
            'to ' || (select string_agg(case when role = 0 then 'public' else \
            pg_get_userbyid(role) end, ', ' \
                order by pg_get_userbyid(role)) from unnest(p.polroles) role), \
            'using (' || pg_get_expr(p.polqual, p.polrelid) || ')', \
            'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')",
        object: "p.oid",
        from: "pg_policy p join pg_class c on c.oid = p.polrelid",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_rewrite",
        kind: "'rule'",
        namespace: "c.relnamespace",
        relation: "c.oid",
        name: "r.rulename",
        definition: "pg_get_ruledef(r.oid) || case r.ev_enabled when 'D' then ' (disabled)' \
            when 'R' then ' (enabled for replicas)' when 'A' then ' (enabled always)' else '' end",
        object: "r.oid",
        from: "pg_rewrite r join pg_class c on c.oid = r.ev_class where r.rulename <> '_RETURN'",
        ..Query::EMPTY
    },
];
