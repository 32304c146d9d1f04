//! Default privileges, and privileges of objects that are not compared themselves.

use super::query::{Query, privileges};

pub(super) const QUERIES: [Query; 2] = [
    // The name leaves out a role that owns the database: that is compared as a property of its own.
    Query {
        catalog: "pg_default_acl",
        kind: "'default privileges'",
        name: "concat('on ', case a.defaclobjtype when 'r' then 'tables' when 'S' then \
        'sequences' when 'f' then 'functions' \
            when 'T' then 'types' when 'n' then 'schemas' when 'L' then 'large objects' else \
            a.defaclobjtype::text end, \
            ' in schema ' || (select quote_ident(nspname) from pg_namespace m where m.oid = \
            a.defaclnamespace), \
            case when a.defaclrole <> b.datdba then ' of role ' || \
            quote_ident(pg_get_userbyid(a.defaclrole)) end)",
        definition: privileges!("a.defaclacl", "a.defaclrole"),
        object: "a.oid",
        from: "pg_default_acl a join pg_database b on b.datname = current_database(), lateral \
        (select \
               case when a.defaclnamespace = 0 then acldefault(case a.defaclobjtype when 'S' then \
               's' \
               else a.defaclobjtype end, a.defaclrole) else '{}' end) d(acl) \
               where not (a.defaclacl @> d.acl and a.defaclacl <@ d.acl)",
        ..Query::EMPTY
    },
    // `initdb` and `CREATE EXTENSION` record the privileges that they grant in `pg_init_privs`.
    // What differs from those is the user's. The sequence of an identity column is an inner part of
    // the column. `pg_dump` leaves out the schema `information_schema`.
    Query {
        catalog: "pg_init_privs",
        kind: "'privileges'",
        name: "concat_ws(' ', 'of', i.type, i.identity)",
        definition: privileges!("o.acl", "o.owner"),
        object: "0::oid",
        part: "-1",
        from: "(select 'pg_class'::regclass as class, c.oid, 0 as part, relacl as acl, relowner \
        as owner, \
                acldefault(case relkind when 'S' then 's' else 'r' end::pg_catalog.\"char\", \
                relowner) as base, relnamespace as schema \
                from pg_class c where relacl is not null \
            union all select 'pg_class'::regclass, c.oid, attnum, attacl, relowner, '{}', \
            relnamespace \
                from pg_attribute a join pg_class c on c.oid = attrelid where attacl is not null \
            union all select 'pg_proc'::regclass, oid, 0, proacl, proowner, acldefault('f', \
            proowner), pronamespace \
                from pg_proc where proacl is not null \
            union all select 'pg_type'::regclass, oid, 0, typacl, typowner, acldefault('T', \
            typowner), typnamespace \
                from pg_type where typacl is not null \
            union all select 'pg_namespace'::regclass, oid, 0, nspacl, nspowner, acldefault('n', \
            nspowner), oid \
                from pg_namespace where nspacl is not null and nspname <> 'public' \
            union all select 'pg_language'::regclass, oid, 0, lanacl, lanowner, acldefault('l', \
            lanowner), 0 \
                from pg_language where lanacl is not null \
            union all select 'pg_foreign_data_wrapper'::regclass, oid, 0, fdwacl, fdwowner, \
            acldefault('F', fdwowner), 0 \
                from pg_foreign_data_wrapper where fdwacl is not null \
            union all select 'pg_foreign_server'::regclass, oid, 0, srvacl, srvowner, \
            acldefault('S', srvowner), 0 \
                from pg_foreign_server where srvacl is not null) o \
            left join pg_init_privs p on p.classoid = o.class and p.objoid = o.oid and p.objsubid \
            = o.part, \
            lateral (select coalesce(p.initprivs, o.base)) d(acl), \
            lateral pg_identify_object(o.class, o.oid, o.part) i \
            where not (o.acl @> d.acl and o.acl <@ d.acl) \
            and (o.oid < 16384 or exists (select from pg_depend e where e.classid = o.class and \
            e.objid = o.oid \
                and e.objsubid = 0 and e.deptype in ('e', 'i'))) \
            and not exists (select from pg_namespace m where m.oid = o.schema \
                and (nspname = 'information_schema' or nspname like 'pg\\_%' and nspname <> \
                'pg_catalog'))",
        ..Query::EMPTY
    },
];
