//! The queries that read a schema from `pg_catalog`
//! (<https://www.postgresql.org/docs/current/catalogs.html>).
//!
//! PostgreSQL's own functions write the definitions. Columns that an older version lacks are read
//! through `to_jsonb`, which returns null for them.

use crate::guard_names::SCHEMA;

/// Settings for the transaction that reads a schema. With them, equal definitions have equal texts
/// on every server: an empty search path qualifies all names.
///
/// `lock_timeout`, because the server may be in use: ebbtide must not queue behind a lock for long.
pub(super) const SNAPSHOT_SETTINGS: &str = "set local search_path = ''; set local timezone = 'UTC'; set local datestyle = 'ISO'; \
     set local intervalstyle = 'postgres'; set local extra_float_digits = 1; set local bytea_output = 'hex'; \
     set local quote_all_identifiers = off; set local lock_timeout = '30s'";

/// A query for one kind of object.
#[derive(Debug)]
pub(super) struct Query {
    /// The catalog whose objects are read.
    pub(super) catalog: &'static str,
    /// Returns `kind`, `namespace`, `relation` (the one that the object belongs to, or 0), `name`,
    /// `arguments`, `definition`, `object` and `part` (as in `pg_description`).
    sql: &'static str,
}

impl Query {
    /// The complete query. It adds the comments, and names in place of identifiers.
    ///
    /// It leaves out what is not the user's own. An object may belong to an extension. It may also
    /// be an inner part of another object, such as the sequence of an identity column or the index
    /// of a constraint.
    pub(super) fn sql(&self) -> String {
        let (catalog, sql) = (self.catalog, self.sql);
        format!(
            "select q.kind, n.nspname::text, r.relname::text, r.relkind::text, q.name::text, q.arguments, q.definition, \
             d.description from ({sql}) q left join pg_namespace n on n.oid = q.namespace \
             left join pg_class r on r.oid = q.relation \
             left join pg_description d \
                on d.classoid = 'pg_catalog.{catalog}'::regclass and d.objoid = q.object and d.objsubid = q.part \
             where (n.nspname is null or n.nspname !~ '^pg_' and n.nspname not in ('information_schema', '{SCHEMA}')) \
             and not exists (select from pg_depend e where e.classid = 'pg_catalog.{catalog}'::regclass \
                and e.objid = q.object and e.objsubid = 0 and e.deptype in ('e', 'i')) \
             and not exists (select from pg_depend e where e.classid = 'pg_catalog.pg_class'::regclass \
                and e.objid = q.relation and e.objsubid = 0 and e.deptype = 'e')"
        )
    }
}

/// The queries for everything that is compared.
pub(super) const QUERIES: [Query; 14] = [
    // The properties that `pg_dump --create` prints. Privileges name the owner as `the owner`; the
    // role itself is compared as a property of its own.
    Query {
        catalog: "pg_database",
        sql: "select 'database' as kind, null::oid as namespace, 0::oid as relation, p.name, '' as arguments, \
              p.definition, d.oid as object, -1 as part from pg_database d, lateral (\
                select 'owner' as name, pg_get_userbyid(datdba)::text as definition \
                union all select 'privileges', coalesce((select string_agg(format('%s to %s%s', granted, grantee, grantor), e'\\n' \
                    order by grantee, grantor, granted) from (select \
                    string_agg(privilege_type || case when is_grantable then ' with grant option' else '' end, ', ' \
                        order by privilege_type) as granted, \
                    case e.grantee when datdba then 'the owner' when 0 then 'public' else quote_ident(pg_get_userbyid(e.grantee)) \
                        end as grantee, \
                    case when e.grantor <> datdba then ' by ' || quote_ident(pg_get_userbyid(e.grantor)) else '' end as grantor \
                    from aclexplode(datacl) e group by e.grantee, e.grantor) g), 'none') where datacl <> acldefault('d', datdba) \
                union all select 'connection limit', datconnlimit::text where datconnlimit <> -1 \
                union all select 'is_template', 'true' where datistemplate \
                union all select 'comment', shobj_description(d.oid, 'pg_database') \
                union all select 'security label for ' || provider, label from pg_shseclabel \
                    where classoid = 'pg_database'::regclass and objoid = d.oid \
                union all select 'setting ' || split_part(c.entry, '=', 1) \
                    || case when s.setrole <> 0 then ' of role ' || quote_ident(pg_get_userbyid(s.setrole)) else '' end, \
                    substr(c.entry, strpos(c.entry, '=') + 1) \
                    from pg_db_role_setting s, unnest(s.setconfig) c(entry) where s.setdatabase = d.oid) p \
              where d.datname = current_database() and p.definition is not null",
    },
    Query {
        catalog: "pg_namespace",
        sql: "select 'schema' as kind, oid as namespace, 0::oid as relation, nspname as name, '' as arguments, \
              '' as definition, oid as object, 0 as part from pg_namespace",
    },
    // Part -1 excludes the comment: it comes with the extension and is not the user's.
    Query {
        catalog: "pg_extension",
        sql: "select 'extension' as kind, null::oid as namespace, 0::oid as relation, extname as name, '' as arguments, \
              'version ' || extversion as definition, oid as object, -1 as part from pg_extension",
    },
    Query {
        catalog: "pg_type",
        sql: "select case t.typtype when 'e' then 'enum' when 'd' then 'domain' when 'r' then 'range type' \
                else 'composite type' end as kind, \
              t.typnamespace as namespace, 0::oid as relation, t.typname as name, '' as arguments, \
              case t.typtype \
                when 'e' then (select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) \
                    from pg_enum where enumtypid = t.oid) \
                when 'd' then concat_ws(' ', format_type(t.typbasetype, t.typtypmod), \
                    case when t.typnotnull then 'not null' end, 'default ' || t.typdefault, \
                    (select string_agg(format('constraint %s %s', conname, pg_get_constraintdef(oid)), ' ' order by conname) \
                        from pg_constraint where contypid = t.oid and contype = 'c')) \
                when 'r' then (select 'of ' || format_type(rngsubtype, null) from pg_range where rngtypid = t.oid) \
                else (select string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum) \
                    from pg_attribute where attrelid = t.typrelid and attnum > 0 and not attisdropped) \
              end as definition, t.oid as object, 0 as part from pg_type t left join pg_class c on c.oid = t.typrelid \
              where t.typtype in ('e', 'd', 'r') or c.relkind = 'c'",
    },
    Query {
        catalog: "pg_class",
        sql: "select 'sequence' as kind, c.relnamespace as namespace, coalesce(d.refobjid, 0::oid) as relation, \
              c.relname as name, '' as arguments, \
              concat_ws(' ', format_type(s.seqtypid, null), 'start', s.seqstart, 'increment', s.seqincrement, \
                'minimum', s.seqmin, 'maximum', s.seqmax, case when s.seqcycle then 'cycle' end, \
                'owned by ' || d.refobjid::regclass || '.' || a.attname) as definition, c.oid as object, 0 as part \
              from pg_sequence s join pg_class c on c.oid = s.seqrelid \
              left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.objsubid = 0 \
                and d.refclassid = 'pg_class'::regclass and d.deptype = 'a' \
              left join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid",
    },
    Query {
        catalog: "pg_class",
        sql: "select 'table' as kind, c.relnamespace as namespace, 0::oid as relation, c.relname as name, \
              '' as arguments, \
              concat_ws(', ', case when c.relpersistence = 'u' then 'unlogged' else 'permanent' end, \
                (select 'of server ' || srvname from pg_foreign_table join pg_foreign_server s on s.oid = ftserver \
                    where ftrelid = c.oid), \
                'partitioned by ' || case when c.relkind = 'p' then pg_get_partkeydef(c.oid) end, \
                (select case when c.relispartition then 'partition of ' else 'inherits from ' end \
                    || string_agg(inhparent::regclass::text, ', ' order by inhseqno) \
                    from pg_inherits where inhrelid = c.oid), \
                pg_get_expr(c.relpartbound, c.oid), \
                case when c.relrowsecurity then 'row level security' end, \
                case when c.relforcerowsecurity then 'forced row level security' end, \
                'with (' || array_to_string(c.reloptions, ', ') || ')') as definition, c.oid as object, 0 as part \
              from pg_class c where c.relkind in ('r', 'p', 'f')",
    },
    // A partition's columns are left out: the parent has them, and a change is reported once.
    Query {
        catalog: "pg_class",
        sql: "select 'column' as kind, c.relnamespace as namespace, c.oid as relation, a.attname as name, \
              '' as arguments, \
              concat_ws(' ', format_type(a.atttypid, a.atttypmod), \
                (select format('collate %s.%s', n.nspname, o.collname) from pg_collation o \
                    join pg_namespace n on n.oid = o.collnamespace join pg_type t on t.oid = a.atttypid \
                    where o.oid = a.attcollation and o.oid <> t.typcollation), \
                case when a.attnotnull then 'not null' end, \
                case when a.attidentity <> '' then (select format('generated %s as identity \
                    (start %s increment %s minimum %s maximum %s%s)', \
                    case when a.attidentity = 'a' then 'always' else 'by default' end, seqstart, seqincrement, seqmin, \
                    seqmax, case when seqcycle then ' cycle' end) \
                    from pg_sequence join pg_depend e on e.classid = 'pg_class'::regclass and e.objid = seqrelid \
                    where e.refclassid = 'pg_class'::regclass and e.refobjid = a.attrelid and e.refobjsubid = a.attnum \
                    and e.deptype = 'i') end, \
                format(case when a.atthasdef then case to_jsonb(a) ->> 'attgenerated' \
                    when 's' then 'generated always as (%s) stored' when 'v' then 'generated always as (%s)' \
                    else 'default %s' end end, pg_get_expr(f.adbin, f.adrelid))) as definition, \
              c.oid as object, a.attnum as part \
              from pg_attribute a join pg_class c on c.oid = a.attrelid \
              left join pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum \
              where c.relkind in ('r', 'p', 'f') and a.attnum > 0 and not a.attisdropped \
              and (a.attislocal or not c.relispartition)",
    },
    // NOT NULL constraints are left out: the definition of the column has `not null`.
    Query {
        catalog: "pg_constraint",
        sql: "select 'constraint' as kind, connamespace as namespace, conrelid as relation, conname as name, \
              '' as arguments, pg_get_constraintdef(oid) as definition, oid as object, 0 as part from pg_constraint \
              where conrelid <> 0 and contype in ('p', 'f', 'u', 'c', 'x') and conislocal",
    },
    Query {
        catalog: "pg_class",
        sql: "select 'index' as kind, c.relnamespace as namespace, i.indrelid as relation, c.relname as name, \
              '' as arguments, pg_get_indexdef(c.oid) || case when i.indisvalid then '' else ' (invalid)' end \
                as definition, c.oid as object, 0 as part \
              from pg_index i join pg_class c on c.oid = i.indexrelid \
              where not exists (select from pg_inherits where inhrelid = c.oid)",
    },
    Query {
        catalog: "pg_class",
        sql: "select case c.relkind when 'v' then 'view' else 'materialized view' end as kind, \
              c.relnamespace as namespace, 0::oid as relation, c.relname as name, '' as arguments, \
              concat_ws(e'\\n', pg_get_viewdef(c.oid), 'with (' || array_to_string(c.reloptions, ', ') || ')') \
                as definition, c.oid as object, 0 as part from pg_class c where c.relkind in ('v', 'm')",
    },
    Query {
        catalog: "pg_proc",
        sql: "select case when k.kind = 'a' then 'aggregate' when k.kind = 'p' then 'procedure' else 'function' end \
                as kind, \
              p.pronamespace as namespace, 0::oid as relation, p.proname as name, \
              '(' || pg_get_function_identity_arguments(p.oid) || ')' as arguments, \
              case when k.kind = 'a' then (select concat_ws(' ', 'sfunc', aggtransfn, 'stype', \
                    format_type(aggtranstype, null), 'finalfunc ' || nullif(aggfinalfn::oid, 0)::regproc, \
                    'combinefunc ' || nullif(aggcombinefn::oid, 0)::regproc, 'initcond ' || agginitval) \
                    from pg_aggregate where aggfnoid = p.oid) \
                else pg_get_functiondef(p.oid) end as definition, p.oid as object, 0 as part \
              from pg_proc p, lateral (select coalesce(to_jsonb(p) ->> 'prokind', \
                case when to_jsonb(p) ->> 'proisagg' = 'true' then 'a' else 'f' end) as kind) k",
    },
    Query {
        catalog: "pg_trigger",
        sql: "select 'trigger' as kind, c.relnamespace as namespace, c.oid as relation, t.tgname as name, \
              '' as arguments, pg_get_triggerdef(t.oid) || case t.tgenabled when 'D' then ' (disabled)' \
                when 'R' then ' (enabled for replicas)' when 'A' then ' (enabled always)' else '' end as definition, \
              t.oid as object, 0 as part from pg_trigger t join pg_class c on c.oid = t.tgrelid \
              where not t.tgisinternal and coalesce(to_jsonb(t) ->> 'tgparentid', '0') = '0'",
    },
    Query {
        catalog: "pg_policy",
        sql: "select 'policy' as kind, c.relnamespace as namespace, c.oid as relation, p.polname as name, \
              '' as arguments, \
              concat_ws(' ', case when p.polpermissive then 'permissive' else 'restrictive' end, \
                case p.polcmd when 'r' then 'for select' when 'a' then 'for insert' when 'w' then 'for update' \
                    when 'd' then 'for delete' else 'for all' end, \
                'to ' || (select string_agg(case when role = 0 then 'public' else pg_get_userbyid(role) end, ', ' \
                    order by pg_get_userbyid(role)) from unnest(p.polroles) role), \
                'using (' || pg_get_expr(p.polqual, p.polrelid) || ')', \
                'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')') as definition, \
              p.oid as object, 0 as part from pg_policy p join pg_class c on c.oid = p.polrelid",
    },
    Query {
        catalog: "pg_rewrite",
        sql: "select 'rule' as kind, c.relnamespace as namespace, c.oid as relation, r.rulename as name, \
              '' as arguments, pg_get_ruledef(r.oid) || case r.ev_enabled when 'D' then ' (disabled)' \
                when 'R' then ' (enabled for replicas)' when 'A' then ' (enabled always)' else '' end as definition, \
              r.oid as object, 0 as part from pg_rewrite r join pg_class c on c.oid = r.ev_class \
              where r.rulename <> '_RETURN'",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_read_with_at_most_twenty_queries() {
        // BEGIN, the settings, the server's version, the ledger's name and its claim, ROLLBACK.
        let others = 6;
        assert!(
            QUERIES.len() + others <= 20,
            "{} queries",
            QUERIES.len() + others
        );
    }
}
