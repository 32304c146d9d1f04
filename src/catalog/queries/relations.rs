//! Tables, views, sequences and extended statistics.

use super::query::Query;

pub(super) const QUERIES: [Query; 4] = [
    Query {
        catalog: "pg_class",
        kind: "'sequence'",
        namespace: "c.relnamespace",
        relation: "coalesce(d.refobjid, 0::oid)",
        name: "c.relname",
        definition: "concat_ws(' ', case when c.relpersistence = 'u' then 'unlogged' end, \
            format_type(s.seqtypid, null), 'start', s.seqstart, 'increment', s.seqincrement, \
            'minimum', s.seqmin, 'maximum', s.seqmax, 'cache ' || nullif(s.seqcache, 1), \
            case when s.seqcycle then 'cycle' end, \
            'owned by ' || d.refobjid::regclass || '.' || a.attname)",
        object: "c.oid",
        from: "pg_sequence s join pg_class c on c.oid = s.seqrelid \
               left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and \
               d.objsubid = 0 \
                and d.refclassid = 'pg_class'::regclass and d.deptype = 'a' \
               left join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid \
               where c.relpersistence <> 't'",
        owner: "c.relowner",
        acl: "c.relacl",
        default_acl: "acldefault('s', c.relowner)",
        grantor: "c.relowner",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_class",
        kind: "'table'",
        namespace: "c.relnamespace",
        name: "c.relname",
        definition: "concat_ws(', ', case when c.relpersistence = 'u' then 'unlogged' else \
        'permanent' end, \
            'of type ' || nullif(c.reloftype, 0)::regtype, \
            (select 'using ' || amname from pg_am where oid = c.relam and amname <> 'heap'), \
            (select 'of server ' || srvname || coalesce(' options (' || (select \
            string_agg(format('%s %L', \
                option_name, option_value), ', ' order by n) from pg_options_to_table(ftoptions) \
                with ordinality o(option_name, option_value, n)) || ')', '') \
                from pg_foreign_table join pg_foreign_server s on s.oid = ftserver where ftrelid \
                = c.oid), \
            'partitioned by ' || case when c.relkind = 'p' then pg_get_partkeydef(c.oid) end, \
            (select case when c.relispartition then 'partition of ' else 'inherits from ' end \
                || string_agg(inhparent::regclass::text, ', ' order by inhseqno) \
                from pg_inherits where inhrelid = c.oid), \
            pg_get_expr(c.relpartbound, c.oid), \
            case when c.relrowsecurity then 'row level security' end, \
            case when c.relforcerowsecurity then 'forced row level security' end, \
            case c.relreplident when 'f' then 'replica identity full' when 'n' then 'replica \
            identity nothing' end, \
            'with (' || array_to_string(c.reloptions, ', ') || ')', \
            (select 'toast with (' || array_to_string(t.reloptions, ', ') || ')' from pg_class t \
                where t.oid = c.reltoastrelid and t.reloptions is not null))",
        object: "c.oid",
        from: "pg_class c where c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't'",
        owner: "c.relowner",
        acl: "c.relacl",
        default_acl: "acldefault('r', c.relowner)",
        grantor: "c.relowner",
        tablespace: "c.reltablespace",
        // The order of the columns, one name on each line.
        state: "(select string_agg(attname, e'\\n' order by attnum) from pg_attribute a where \
        a.attrelid = c.oid \
            and attnum > 0 and not attisdropped and (attislocal or c.relispartition))",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_class",
        kind: "case c.relkind when 'v' then 'view' else 'materialized view' end",
        namespace: "c.relnamespace",
        name: "c.relname",
        definition: "concat_ws(e'\\n', pg_get_viewdef(c.oid), \
            'with (' || array_to_string(c.reloptions, ', ') || ')', \
            (select 'toast with (' || array_to_string(t.reloptions, ', ') || ')' from pg_class t \
                where t.oid = c.reltoastrelid and t.reloptions is not null), \
            (select 'using ' || amname from pg_am where oid = c.relam and amname <> 'heap'))",
        object: "c.oid",
        from: "pg_class c where c.relkind in ('v', 'm') and c.relpersistence <> 't'",
        owner: "c.relowner",
        acl: "c.relacl",
        default_acl: "acldefault('r', c.relowner)",
        grantor: "c.relowner",
        tablespace: "c.reltablespace",
        state: "case when c.relkind = 'm' and not c.relispopulated then 'not populated' end",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_statistic_ext",
        kind: "'statistics'",
        namespace: "s.stxnamespace",
        relation: "s.stxrelid",
        name: "s.stxname",
        definition: "pg_get_statisticsobjdef(s.oid) || coalesce(' (statistics target ' || \
            nullif(to_jsonb(s) ->> 'stxstattarget', '-1') || ')', '')",
        object: "s.oid",
        from: "pg_statistic_ext s",
        owner: "s.stxowner",
        ..Query::EMPTY
    },
];
