//! The objects of text search.

use super::query::Query;

pub(super) const QUERIES: [Query; 4] = [
    Query {
        catalog: "pg_ts_parser",
        kind: "'text search parser'",
        namespace: "p.prsnamespace",
        name: "p.prsname",
        definition: "concat_ws(' ', 'start', p.prsstart, 'gettoken', p.prstoken, 'end', p.prsend, \
            'headline ' || nullif(p.prsheadline::oid, 0)::regproc, 'lextypes', p.prslextype)",
        object: "p.oid",
        from: "pg_ts_parser p where p.oid >= 16384",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_ts_template",
        kind: "'text search template'",
        namespace: "t.tmplnamespace",
        name: "t.tmplname",
        definition: "concat_ws(' ', 'init ' || nullif(t.tmplinit::oid, 0)::regproc, 'lexize', \
        t.tmpllexize)",
        object: "t.oid",
        from: "pg_ts_template t where t.oid >= 16384",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_ts_dict",
        kind: "'text search dictionary'",
        namespace: "d.dictnamespace",
        name: "d.dictname",
        definition: "concat_ws(' ', 'template', (select m.nspname || '.' || tmplname from \
        pg_ts_template t \
            join pg_namespace m on m.oid = t.tmplnamespace where t.oid = d.dicttemplate), \
            'with (' || d.dictinitoption || ')')",
        object: "d.oid",
        from: "pg_ts_dict d where d.oid >= 16384",
        owner: "d.dictowner",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_ts_config",
        kind: "'text search configuration'",
        namespace: "c.cfgnamespace",
        name: "c.cfgname",
        definition: "concat_ws(e'\\n', 'parser ' || c.parser, m.mappings)",
        object: "c.oid",
        from: "(select g.oid, g.cfgnamespace, g.cfgname, g.cfgowner, g.cfgparser, \
                (select m.nspname || '.' || p.prsname from pg_ts_parser p \
                    join pg_namespace m on m.oid = p.prsnamespace where p.oid = g.cfgparser) as \
                    parser \
                from pg_ts_config g where g.oid >= 16384) c, lateral (\
                select string_agg(format('%s with %s', token, dicts), e'\\n' order by token) as \
                mappings from (\
                    select (select alias from ts_token_type(c.cfgparser) y where y.tokid = \
                    maptokentype) as token, \
                    string_agg(mapdict::regdictionary::text, ', ' order by mapseqno) as dicts \
                    from pg_ts_config_map where mapcfg = c.oid group by maptokentype) t) m",
        owner: "c.cfgowner",
        ..Query::EMPTY
    },
];
