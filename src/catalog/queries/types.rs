//! Types, and the objects that compare and convert their values.

use super::query::Query;

pub(super) const QUERIES: [Query; 5] = [
    Query {
        catalog: "pg_type",
        kind: "case when not t.typisdefined then 'type' when t.typtype = 'e' then 'enum' \
               when t.typtype = 'd' then 'domain' when t.typtype = 'r' then 'range type' \
               when t.typtype = 'c' then 'composite type' else 'type' end",
        namespace: "t.typnamespace",
        name: "t.typname",
        definition: "case \
            when not t.typisdefined then 'shell' \
            when t.typtype = 'e' then (select string_agg(quote_literal(enumlabel), ', ' order by \
            enumsortorder) \
                from pg_enum where enumtypid = t.oid) \
            when t.typtype = 'd' then concat_ws(' ', format_type(t.typbasetype, t.typtypmod), \
                (select format('collate %s.%s', m.nspname, o.collname) from pg_collation o \
                    join pg_namespace m on m.oid = o.collnamespace join pg_type b on b.oid = \
                    t.typbasetype \
                    where o.oid = t.typcollation and o.oid <> b.typcollation), \
                case when t.typnotnull then 'not null' end, \
                'default ' || coalesce(pg_get_expr(t.typdefaultbin, 0), t.typdefault), \
                (select string_agg(format('constraint %s %s', conname, \
                pg_get_constraintdef(oid)), ' ' order by conname) \
                    from pg_constraint where contypid = t.oid \
                    and (contype = 'c' or contype = 'n' and conname <> t.typname || '_not_null'))) \
            when t.typtype = 'r' then (select concat_ws(' ', 'of', format_type(rngsubtype, null), \
                (select 'operator class ' || m.nspname || '.' || opcname from pg_opclass join \
                pg_namespace m \
                    on m.oid = opcnamespace where pg_opclass.oid = rngsubopc and not opcdefault), \
                'collate ' || nullif(rngcollation, (select typcollation from pg_type b where \
                b.oid = rngsubtype)) \
                    ::regcollation, \
                'canonical ' || nullif(rngcanonical::oid, 0)::regproc, \
                'diff ' || nullif(rngsubdiff::oid, 0)::regproc, \
                'multirange ' || ((to_jsonb(g) ->> 'rngmultitypid')::oid)::regtype) \
                from pg_range g where rngtypid = t.oid) \
            when t.typtype = 'c' then (select string_agg(concat_ws(' ', attname, \
            format_type(atttypid, atttypmod), \
                (select format('collate %s.%s', m.nspname, o.collname) from pg_collation o \
                    join pg_namespace m on m.oid = o.collnamespace join pg_type b on b.oid = \
                    atttypid \
                    where o.oid = attcollation and o.oid <> b.typcollation)), ', ' order by \
                    attnum) \
                from pg_attribute where attrelid = t.typrelid and attnum > 0 and not attisdropped) \
            else concat_ws(', ', 'input ' || t.typinput, 'output ' || t.typoutput, \
                'receive ' || nullif(t.typreceive::oid, 0)::regproc, 'send ' || \
                nullif(t.typsend::oid, 0)::regproc, \
                'typmod_in ' || nullif(t.typmodin::oid, 0)::regproc, \
                'typmod_out ' || nullif(t.typmodout::oid, 0)::regproc, \
                'analyze ' || nullif(t.typanalyze::oid, 0)::regproc, \
                'subscript ' || nullif(to_jsonb(t) ->> 'typsubscript', '-'), \
                'length ' || t.typlen, case when t.typbyval then 'passed by value' end, \
                format('alignment %s storage %s category %s', t.typalign, t.typstorage, \
                t.typcategory), \
                case when t.typispreferred then 'preferred' end, \
                'default ' || coalesce(pg_get_expr(t.typdefaultbin, 0), t.typdefault), \
                'element ' || nullif(t.typelem, 0)::regtype, format('delimiter %s', t.typdelim), \
                case when t.typcollation <> 0 then 'collatable' end) \
            end",
        object: "t.oid",
        from: "pg_type t left join pg_class c on c.oid = t.typrelid \
               where t.typtype in ('e', 'd', 'r') or c.relkind = 'c' or not t.typisdefined \
               or t.typtype = 'b' and not exists (select from pg_type e where e.typarray = t.oid)",
        owner: "t.typowner",
        acl: "t.typacl",
        default_acl: "acldefault('T', t.typowner)",
        grantor: "t.typowner",
        // Attributes of a composite type, and constraints of a domain.
        more_comments: "(select string_agg(format('comment on %s: %s', part, description), e'\\n' \
        order by part) \
            from (select a.attname::text as part, d.description from pg_description d \
                join pg_attribute a on a.attrelid = t.typrelid and a.attnum = d.objsubid \
                where d.classoid = 'pg_class'::regclass and d.objoid = t.typrelid and d.objsubid \
                > 0 \
                and t.typtype = 'c' \
                union all select 'constraint ' || conname, d.description from pg_constraint o \
                join pg_description d on d.classoid = 'pg_constraint'::regclass and d.objoid = \
                o.oid \
                where o.contypid = t.oid and t.typtype = 'd') p)",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_collation",
        kind: "'collation'",
        namespace: "c.collnamespace",
        name: "c.collname",
        definition: "concat_ws(', ', case c.collprovider when 'i' then 'icu' when 'b' then \
        'builtin' \
                when 'd' then 'default' else 'libc' end, \
            'collate ' || c.collcollate, 'ctype ' || c.collctype, \
            'locale ' || coalesce(j ->> 'colllocale', j ->> 'colliculocale'), \
            'rules ' || (j ->> 'collicurules'), \
            case when j ->> 'collisdeterministic' = 'false' then 'not deterministic' end)",
        object: "c.oid",
        from: "pg_collation c, lateral (select to_jsonb(c)) r(j) where c.oid >= 16384",
        owner: "c.collowner",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_conversion",
        kind: "'conversion'",
        namespace: "c.connamespace",
        name: "c.conname",
        definition: "format('from %s to %s by %s%s', pg_encoding_to_char(c.conforencoding), \
            pg_encoding_to_char(c.contoencoding), c.conproc, case when c.condefault then ' \
            (default)' end)",
        object: "c.oid",
        from: "pg_conversion c where c.oid >= 16384",
        owner: "c.conowner",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_cast",
        kind: "'cast'",
        name: "format('(%s as %s)', format_type(c.castsource, null), format_type(c.casttarget, \
        null))",
        definition: "concat_ws(' ', case c.castmethod when 'b' then 'without function' when 'i' \
        then 'with inout' \
            else 'with function ' || c.castfunc::regprocedure end, \
            case c.castcontext when 'a' then 'as assignment' when 'i' then 'as implicit' end)",
        object: "c.oid",
        from: "pg_cast c where c.oid >= 16384",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_transform",
        kind: "'transform'",
        name: "format('for %s language %s', format_type(t.trftype, null), l.lanname)",
        definition: "concat_ws(', ', 'from sql with ' || nullif(t.trffromsql::oid, \
        0)::regprocedure, \
            'to sql with ' || nullif(t.trftosql::oid, 0)::regprocedure)",
        object: "t.oid",
        from: "pg_transform t join pg_language l on l.oid = t.trflang",
        ..Query::EMPTY
    },
];
