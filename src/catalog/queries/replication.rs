//! Publications and subscriptions.

use super::query::{Connections, Query};

const PUBLICATION: Query = Query {
    catalog: "pg_publication",
    kind: "'publication'",
    name: "p.pubname",
    object: "p.oid",
    from: "pg_publication p",
    owner: "p.pubowner",
    ..Query::EMPTY
};

/// Only a superuser may read `subconninfo`, and so the whole row. Roles without that right compare
/// less.
const SUBSCRIPTION: Query = Query {
    catalog: "pg_subscription",
    kind: "'subscription'",
    name: "u.subname",
    definition: "concat_ws(' ', 'publications', array_to_string(u.subpublications, ', '), \
        'slot ' || u.subslotname, 'synchronous_commit', u.subsynccommit)",
    object: "u.oid",
    from: "pg_subscription u where u.subdbid = (select oid from pg_database where datname = \
    current_database())",
    owner: "u.subowner",
    ..Query::EMPTY
};

/// SQL: the options of a publication.
macro_rules! options {
    () => {
        "concat_ws(', ', case when p.puballtables then 'for all tables' end, case when \
        p.pubinsert then 'insert' end, \
         case when p.pubupdate then 'update' end, case when p.pubdelete then 'delete' end, \
         case when to_jsonb(p) ->> 'pubtruncate' = 'true' then 'truncate' end, \
         case when to_jsonb(p) ->> 'pubviaroot' = 'true' then 'via the partition root' end, \
         case to_jsonb(p) ->> 'pubgencols' when 's' then 'stored generated columns' end)"
    };
}

pub(super) const QUERIES: [Query; 4] = [
    // Lists of columns, row filters and schemas came with version 15.
    Query {
        versions: 0..150_000,
        definition: concat!(
            "concat_ws(e'\\n', ",
            options!(),
            ", (select string_agg('table ' || prrelid::regclass, e'\\n' order by \
            prrelid::regclass::text) \
                from pg_publication_rel r where r.prpubid = p.oid))"
        ),
        ..PUBLICATION
    },
    Query {
        versions: 150_000..u32::MAX,
        definition: concat!(
            "concat_ws(e'\\n', ",
            options!(),
            ", (select string_agg('schema ' || nspname, e'\\n' order by nspname) from \
            pg_publication_namespace s \
                join pg_namespace m on m.oid = s.pnnspid where s.pnpubid = p.oid), \
              (select string_agg(concat_ws(' ', 'table', r.prrelid::regclass, \
                '(' || (select string_agg(quote_ident(attname), ', ' order by attnum) from \
                pg_attribute a \
                    where a.attrelid = r.prrelid and a.attnum = any (r.prattrs)) || ')', \
                'where ' || pg_get_expr(r.prqual, r.prrelid)), e'\\n' order by \
                r.prrelid::regclass::text) \
                from pg_publication_rel r where r.prpubid = p.oid))"
        ),
        ..PUBLICATION
    },
    Query {
        connections: Some(Connections::Hidden),
        ..SUBSCRIPTION
    },
    Query {
        connections: Some(Connections::Readable),
        restricted: "(select concat_ws(', ', 'connection ' || \
        regexp_replace(regexp_replace(u.subconninfo, \
                '(password\\s*=\\s*)(''([^''\\\\]|\\\\.)*''|\\S+)', '\\1***', 'gi'), \
                '(://[^:/@]*:)[^@]*@', '\\1***@'), \
            'binary ' || (j ->> 'subbinary'), 'streaming ' || (j ->> 'substream'), \
            case when j ->> 'subtwophasestate' <> 'd' then 'two_phase' end, \
            'disable_on_error ' || (j ->> 'subdisableonerr'), 'origin ' || (j ->> 'suborigin'), \
            'password_required ' || (j ->> 'subpasswordrequired'), 'run_as_owner ' || (j ->> \
            'subrunasowner'), \
            'failover ' || (j ->> 'subfailover')) from (select to_jsonb(u)) r(j))",
        digest: "u.subconninfo",
        ..SUBSCRIPTION
    },
];
