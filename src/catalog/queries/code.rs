//! Routines, operators, event triggers, and the languages and methods behind them.

use super::query::Query;

/// SQL: the operators and functions that depend on an operator class or family.
macro_rules! members {
    ($catalog:literal, $deptype:literal, $owner:literal) => {
        concat!(
            "(select string_agg(t, e'\\n' order by t) from (\
                select format('operator %s %s%s', amopstrategy, amopopr::regoperator, \
                    (select ' for order by ' || m.nspname || '.' || opfname from pg_opfamily y \
                        join pg_namespace m on m.oid = opfnamespace where y.oid = \
                        amopsortfamily)) as t \
                from pg_amop o join pg_depend d on d.classid = 'pg_amop'::regclass and d.objid = \
                o.oid \
                where d.refclassid = '", $catalog, "'::regclass and d.refobjid = ", $owner, " and \
                d.deptype = '", $deptype, "' \
                union all select format('function %s (%s, %s) %s', amprocnum, \
                format_type(amproclefttype, null), \
                    format_type(amprocrighttype, null), amproc::regprocedure) \
                from pg_amproc o join pg_depend d on d.classid = 'pg_amproc'::regclass and \
                d.objid = o.oid \
                where d.refclassid = '", $catalog, "'::regclass and d.refobjid = ", $owner, " and \
                d.deptype = '", $deptype, "') m)"
        )
    };
}

pub(super) const QUERIES: [Query; 7] = [
    Query {
        catalog: "pg_proc",
        kind: "case when k.kind = 'a' then 'aggregate' when k.kind = 'p' then 'procedure' else \
        'function' end",
        namespace: "p.pronamespace",
        name: "p.proname",
        arguments: "'(' || pg_get_function_identity_arguments(p.oid) || ')'",
        definition: "case when k.kind = 'a' then (select concat_ws(' ', 'sfunc', aggtransfn, \
        'stype', \
                format_type(aggtranstype, null), 'sspace ' || nullif(aggtransspace, 0), \
                'finalfunc ' || nullif(aggfinalfn::oid, 0)::regproc, case when aggfinalextra then \
                'finalfunc_extra' end, \
                'finalfunc_modify ' || case when aggfinalfn <> 0 then to_jsonb(a) ->> \
                'aggfinalmodify' end, \
                'combinefunc ' || nullif(aggcombinefn::oid, 0)::regproc, \
                'serialfunc ' || nullif(aggserialfn::oid, 0)::regproc, \
                'deserialfunc ' || nullif(aggdeserialfn::oid, 0)::regproc, 'initcond ' || \
                agginitval, \
                'msfunc ' || nullif(aggmtransfn::oid, 0)::regproc, 'minvfunc ' || \
                nullif(aggminvtransfn::oid, 0)::regproc, \
                'mstype ' || nullif(aggmtranstype, 0)::regtype, 'msspace ' || \
                nullif(aggmtransspace, 0), \
                'mfinalfunc ' || nullif(aggmfinalfn::oid, 0)::regproc, \
                case when aggmfinalextra then 'mfinalfunc_extra' end, \
                'mfinalfunc_modify ' || case when aggmfinalfn <> 0 then to_jsonb(a) ->> \
                'aggmfinalmodify' end, \
                'minitcond ' || aggminitval, 'sortop ' || nullif(aggsortop, 0)::regoperator, \
                case aggkind when 'h' then 'hypothetical' end, \
                case p.proparallel when 's' then 'parallel safe' when 'r' then 'parallel \
                restricted' end) \
                from pg_aggregate a where aggfnoid = p.oid) \
            else pg_get_functiondef(p.oid) end",
        object: "p.oid",
        from: "pg_proc p join pg_namespace m on m.oid = p.pronamespace, lateral (select \
        coalesce(to_jsonb(p) ->> 'prokind', \
               case when to_jsonb(p) ->> 'proisagg' = 'true' then 'a' else 'f' end) as kind) k \
               where m.nspname not in ('pg_catalog', 'information_schema')",
        owner: "p.proowner",
        acl: "p.proacl",
        default_acl: "acldefault('f', p.proowner)",
        grantor: "p.proowner",
        ..Query::EMPTY
    },
    // `pg_dump` leaves out an operator that has no function: another operator has announced it as
    // its commutator or negator.
    Query {
        catalog: "pg_operator",
        kind: "'operator'",
        namespace: "o.oprnamespace",
        name: "o.oprname",
        arguments: "format('(%s, %s)', case when o.oprleft = 0 then 'none' else \
        format_type(o.oprleft, null) end, \
            case when o.oprright = 0 then 'none' else format_type(o.oprright, null) end)",
        definition: "concat_ws(' ', 'function', o.oprcode::regprocedure, 'commutator ' || \
        nullif(o.oprcom, 0)::regoperator, \
            'negator ' || nullif(o.oprnegate, 0)::regoperator, 'restrict ' || \
            nullif(o.oprrest::oid, 0)::regproc, \
            'join ' || nullif(o.oprjoin::oid, 0)::regproc, case when o.oprcanhash then 'hashes' \
            end, \
            case when o.oprcanmerge then 'merges' end)",
        object: "o.oid",
        from: "pg_operator o where o.oid >= 16384 and o.oprcode <> 0",
        owner: "o.oprowner",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_opclass",
        kind: "'operator class'",
        namespace: "c.opcnamespace",
        name: "c.opcname",
        arguments: "' using ' || (select amname from pg_am where oid = c.opcmethod)",
        definition: concat!(
            "concat_ws(e'\\n', concat_ws(' ', case when c.opcdefault then 'default' end, 'for \
            type', \
                c.opcintype::regtype, 'storage ' || nullif(c.opckeytype, 0)::regtype, \
                'family ' || (select m.nspname || '.' || opfname from pg_opfamily y \
                    join pg_namespace m on m.oid = opfnamespace where y.oid = c.opcfamily)), ",
            members!("pg_opclass", "i", "c.oid"),
            ")"
        ),
        object: "c.oid",
        from: "pg_opclass c where c.oid >= 16384",
        owner: "c.opcowner",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_opfamily",
        kind: "'operator family'",
        namespace: "f.opfnamespace",
        name: "f.opfname",
        arguments: "' using ' || (select amname from pg_am where oid = f.opfmethod)",
        definition: members!("pg_opfamily", "a", "f.oid"),
        object: "f.oid",
        from: "pg_opfamily f where f.oid >= 16384",
        owner: "f.opfowner",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_event_trigger",
        kind: "'event trigger'",
        name: "t.evtname",
        definition: "concat_ws(' ', 'on', t.evtevent, \
            'when tag in (' || array_to_string(t.evttags, ', ') || ')', 'execute', \
            t.evtfoid::regprocedure, \
            case t.evtenabled when 'D' then '(disabled)' when 'R' then '(enabled for replicas)' \
                when 'A' then '(enabled always)' end)",
        object: "t.oid",
        from: "pg_event_trigger t",
        owner: "t.evtowner",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_language",
        kind: "'language'",
        name: "l.lanname",
        definition: "concat_ws(' ', case when l.lanpltrusted then 'trusted' end, \
            'handler ' || nullif(l.lanplcallfoid, 0)::regproc, 'inline ' || nullif(l.laninline, \
            0)::regproc, \
            'validator ' || nullif(l.lanvalidator, 0)::regproc)",
        object: "l.oid",
        from: "pg_language l where l.oid >= 16384",
        owner: "l.lanowner",
        acl: "l.lanacl",
        default_acl: "acldefault('l', l.lanowner)",
        grantor: "l.lanowner",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_am",
        kind: "'access method'",
        name: "m.amname",
        definition: "format('%s, handler %s', case m.amtype when 't' then 'of tables' else 'of \
        indexes' end, m.amhandler)",
        object: "m.oid",
        from: "pg_am m where m.oid >= 16384",
        ..Query::EMPTY
    },
];
