//! The database itself, its schemas and its extensions.

use super::query::{Query, privileges};

pub(super) const QUERIES: [Query; 3] = [
    // The properties that `pg_dump --create` prints.
    Query {
        catalog: "pg_database",
        kind: "'database'",
        name: "p.name",
        definition: "p.definition",
        object: "d.oid",
        // The comment is a property of its own.
        part: "-1",
        from: concat!(
            "pg_database d, lateral (\
                select 'owner' as name, pg_get_userbyid(datdba)::text as definition \
                union all select 'privileges', ",
            privileges!("datacl", "datdba"),
            " where not (datacl @> acldefault('d', datdba) and datacl <@ acldefault('d', datdba)) \
                union all select 'encoding', pg_encoding_to_char(encoding) \
                union all select 'locale', concat_ws(', ', case j ->> 'datlocprovider' \
                    when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end, \
                    'collate ' || datcollate, 'ctype ' || datctype, \
                    'locale ' || coalesce(j ->> 'datlocale', j ->> 'daticulocale'), \
                    'rules ' || (j ->> 'daticurules')) from (select to_jsonb(d)) r(j) \
                union all select 'tablespace', spcname from pg_tablespace s \
                    where s.oid = dattablespace and spcname <> 'pg_default' \
                union all select 'connection limit', datconnlimit::text where datconnlimit <> -1 \
                union all select 'is_template', 'true' where datistemplate \
                union all select 'comment', shobj_description(d.oid, 'pg_database') \
                union all select 'security label for ' || provider, label from pg_shseclabel \
                    where classoid = 'pg_database'::regclass and objoid = d.oid \
                union all select 'setting ' || split_part(c.entry, '=', 1) \
                    || case when s.setrole <> 0 then ' of role ' || \
                    quote_ident(pg_get_userbyid(s.setrole)) else '' end, \
                    substr(c.entry, strpos(c.entry, '=') + 1) \
                    from pg_db_role_setting s, unnest(s.setconfig) c(entry) where s.setdatabase = \
                    d.oid) p \
              where d.datname = current_database() and p.definition is not null"
        ),
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_namespace",
        kind: "'schema'",
        namespace: "n.oid",
        name: "n.nspname",
        object: "n.oid",
        from: "pg_namespace n",
        owner: "n.nspowner",
        acl: "n.nspacl",
        default_acl: "acldefault('n', n.nspowner)",
        grantor: "n.nspowner",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_extension",
        kind: "'extension'",
        name: "x.extname",
        definition: "'schema ' || m.nspname",
        object: "x.oid",
        from: "pg_extension x join pg_namespace m on m.oid = x.extnamespace",
        owner: "null::oid",
        state: "'version ' || x.extversion",
        ..Query::EMPTY
    },
];
