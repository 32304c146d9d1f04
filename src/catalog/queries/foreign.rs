//! Foreign-data wrappers, servers and user mappings. Foreign tables are among the tables.

use super::query::Query;

/// SQL: the options of an object as a text. A password stays hidden if the names are masked.
macro_rules! options {
    ($options:literal, $value:literal) => {
        concat!(
            "(select 'options (' || string_agg(format('%s %L', option_name, ",
            $value,
            "), ', ' order by n) || ')' \
             from pg_options_to_table(",
            $options,
            ") with ordinality o(option_name, option_value, n) having count(*) > 0)"
        )
    };
}

pub(super) const QUERIES: [Query; 3] = [
    Query {
        catalog: "pg_foreign_data_wrapper",
        kind: "'foreign-data wrapper'",
        name: "w.fdwname",
        definition: concat!(
            "concat_ws(' ', 'handler ' || nullif(w.fdwhandler, 0)::regproc, \
             'validator ' || nullif(w.fdwvalidator, 0)::regproc, ",
            options!("w.fdwoptions", "option_value"),
            ")"
        ),
        object: "w.oid",
        from: "pg_foreign_data_wrapper w",
        owner: "w.fdwowner",
        acl: "w.fdwacl",
        default_acl: "acldefault('F', w.fdwowner)",
        grantor: "w.fdwowner",
        ..Query::EMPTY
    },
    Query {
        catalog: "pg_foreign_server",
        kind: "'server'",
        name: "s.srvname",
        definition: concat!(
            "concat_ws(' ', 'of wrapper', (select fdwname from pg_foreign_data_wrapper w where \
            w.oid = s.srvfdw), \
             'type ' || quote_literal(s.srvtype), 'version ' || quote_literal(s.srvversion), ",
            options!("s.srvoptions", "option_value"),
            ")"
        ),
        object: "s.oid",
        from: "pg_foreign_server s",
        owner: "s.srvowner",
        acl: "s.srvacl",
        default_acl: "acldefault('S', s.srvowner)",
        grantor: "s.srvowner",
        ..Query::EMPTY
    },
    // The view hides the options from roles that may not see them
    // (https://www.postgresql.org/docs/current/view-pg-user-mappings.html).
    Query {
        catalog: "pg_user_mapping",
        kind: "'user mapping'",
        name: "format('for %s on server %s', case when u.umuser = 0 then 'public' else \
        quote_ident(u.usename) end, \
            quote_ident(u.srvname))",
        object: "u.umid",
        from: "pg_user_mappings u, lateral (select coalesce(u.umoptions, case when rolsuper then \
        '{}'::text[] end) \
               from pg_roles where rolname = current_user) p(options)",
        restricted: concat!(
            "case when p.options is not null then coalesce(",
            options!(
                "p.options",
                "case when option_name ~* 'password|secret|token|key' then '***' else \
                option_value end"
            ),
            ", 'without options') end"
        ),
        digest: "p.options::text",
        ..Query::EMPTY
    },
];
