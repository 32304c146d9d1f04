select part, coalesce(string_agg(line, e'\n' order by line collate "C"), '')
from (
    -- The catalogs. File numbers and transaction ids are left out: they differ between copies, and
    -- a test's result does not depend on them.
    select 'catalog' as part, 'class ' || (to_jsonb(c) - array['relpages', 'reltuples',
            'relallvisible', 'relallfrozen', 'relhasindex', 'relhasrules', 'relhastriggers',
            'relhassubclass', 'relfilenode', 'relfrozenxid', 'relminmxid'])::text as line
        from pg_class c
        where c.oid >= 16384 and c.relnamespace <> '_ebbtide'::regnamespace
            and c.relnamespace <> 'pg_toast'::regnamespace
    union all select 'catalog', 'privileges ' || c.relname || c.relacl::text
        from pg_class c where c.oid < 16384 and c.relacl is not null
    union all select 'catalog', 'attribute ' || a::text
        from pg_attribute a join pg_class c on c.oid = a.attrelid
        where a.attrelid >= 16384 and c.relnamespace <> '_ebbtide'::regnamespace
            and c.relnamespace <> 'pg_toast'::regnamespace
    union all select 'catalog', 'default ' || d::text from pg_attrdef d
    union all select 'catalog', 'type ' || t::text from pg_type t
        where t.oid >= 16384 and t.typnamespace <> '_ebbtide'::regnamespace
    union all select 'catalog', 'enum ' || e::text from pg_enum e
    union all select 'catalog', 'function ' || p::text from pg_proc p where p.oid >= 16384
    union all select 'catalog', 'privileges ' || p.oid::regprocedure || p.proacl::text
        from pg_proc p where p.oid < 16384 and p.proacl is not null
    union all select 'catalog', 'aggregate ' || a::text
        from pg_aggregate a where a.aggfnoid >= 16384
    union all select 'catalog', 'constraint ' || c::text from pg_constraint c where c.oid >= 16384
    union all select 'catalog', 'trigger ' || t::text from pg_trigger t
    union all select 'catalog', 'index ' || i::text from pg_index i where i.indexrelid >= 16384
    union all select 'catalog', 'rule ' || r::text from pg_rewrite r where r.oid >= 16384
    union all select 'catalog', 'schema ' || n::text from pg_namespace n
    union all select 'catalog', 'policy ' || p::text from pg_policy p
    union all select 'catalog', 'inheritance ' || i::text from pg_inherits i
    union all select 'catalog', 'comment ' || d::text from pg_description d where d.objoid >= 16384
    union all select 'catalog', 'sequence ' || s::text from pg_sequence s
    union all select 'catalog', 'large object ' || l::text from pg_largeobject_metadata l
    union all select 'catalog', 'extension ' || e::text from pg_extension e
    union all select 'catalog', 'event trigger ' || e::text from pg_event_trigger e
    union all select 'catalog', 'publication ' || p::text from pg_publication p
    union all select 'catalog', 'foreign server ' || s::text from pg_foreign_server s
    union all select 'catalog', 'foreign wrapper ' || w::text from pg_foreign_data_wrapper w
    union all select 'catalog', 'user mapping ' || m::text from pg_user_mapping m
    union all select 'catalog', 'default privilege ' || d::text from pg_default_acl d
    union all select 'catalog', 'extended statistics ' || s::text from pg_statistic_ext s
    union all select 'catalog', 'language ' || l::text from pg_language l
    union all select 'catalog', 'cast ' || c::text from pg_cast c where c.oid >= 16384
    union all select 'catalog', 'operator ' || o::text from pg_operator o where o.oid >= 16384
    union all select 'catalog', 'collation ' || c::text from pg_collation c where c.oid >= 16384
    union all select 'catalog', 'text search ' || c::text from pg_ts_config c where c.oid >= 16384
    union all select 'catalog', 'access method ' || a::text from pg_am a where a.oid >= 16384

    -- The planner's statistics.
    union all select 'statistics', format(
            '%s: %s pages, %s tuples, %s visible, index %s, children %s', c.oid::regclass,
            c.relpages, c.reltuples, c.relallvisible, c.relhasindex, c.relhassubclass)
        from pg_class c where c.oid >= 16384 and c.relnamespace = 'public'::regnamespace
    union all select 'statistics', format('%s.%s: %s distinct, %s null, %s common, %s bounds',
            s.tablename, s.attname, s.n_distinct, s.null_frac, s.most_common_vals::text,
            md5(s.histogram_bounds::text))
        from pg_stats s where s.schemaname = 'public'

    union all select 'rows', 'customer ' || c::text from customers c
    union all select 'rows', 'order ' || o::text from orders o
    union all select 'rows', 'note ' || n from notes
    union all select 'rows', 'entry ' || n from entries
    union all select 'rows', 'counted ' || count(*) || md5(string_agg(c::text, ' ' order by n))
        from counted c
    union all select 'rows', 'measured ' || count(*) || md5(string_agg(m::text, ' ' order by n))
        from measured m
    union all select 'rows', 'volatile ' || n from volatile
    union all select 'rows', 'parted ' || tableoid::regclass || p::text from parted p
    union all select 'rows', 'total ' || t::text from totals t
    union all select 'rows', 'tickets ' || last_value || is_called from tickets
    union all select 'rows', 'cached ' || last_value || is_called from cached
    union all select 'rows', 'customers ' || last_value || is_called from customers_id_seq
    union all select 'rows', 'orders ' || last_value || is_called from orders_id_seq
    union all select 'rows', 'large object ' || loid || pageno || md5(data) from pg_largeobject

    union all select 'database',
            (to_jsonb(d) - array['oid', 'datname', 'datfrozenxid', 'datminmxid'])::text
        from pg_database d where d.datname = current_database()
    union all select 'database', 'setting ' || s.setrole || s.setconfig::text
        from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase
        where d.datname = current_database()
    union all select 'database', 'comment ' || shobj_description(d.oid, 'pg_database')
        from pg_database d where d.datname = current_database()
            and shobj_description(d.oid, 'pg_database') like '%hostile%'
    union all select 'database', 'subscription ' || s.subname
        from pg_subscription s join pg_database d on d.oid = s.subdbid
        where d.datname = current_database()

    -- Objects that all databases of the server share.
    union all select 'server', 'role ' || (to_jsonb(r) - 'oid')::text
        from pg_roles r where not starts_with(r.rolname, 'pg_')
    union all select 'server', 'member ' || m.member::regrole || ' of ' || m.roleid::regrole
        from pg_auth_members m
    union all select 'server', 'setting ' || s.setrole || s.setconfig::text
        from pg_db_role_setting s where s.setdatabase = 0
    union all select 'server', 'database ' || d.datname
        from pg_database d where not starts_with(d.datname, 'ebbtide_')
    union all select 'server', 'setting of ' || s.setdatabase from pg_db_role_setting s
        where s.setdatabase <> 0 and s.setdatabase not in (select oid from pg_database)
    union all select 'server', 'slot ' || s.slot_name from pg_replication_slots s
    union all select 'server', 'origin ' || o.roname from pg_replication_origin o
    union all select 'server', 'tablespace ' || t.spcname from pg_tablespace t
    union all select 'server', 'prepared transaction ' || p.gid from pg_prepared_xacts p
    union all select 'server',
        'parameter privileges ' || peek('select count(*) from pg_parameter_acl')
    union all select 'server', 'altered ' || f.name || f.setting
        from pg_file_settings f where f.sourcefile like '%auto.conf'

    -- The settings of PL/pgSQL appear when a session first uses it, which ebbtide does itself.
    union all select 'session', format('%s = %s, else %s', name, setting, reset_val)
        from pg_settings
        where name <> 'application_name' and name not like 'plpgsql.%'
    union all select 'session',
            format('%s = %s', name, coalesce(quote_literal(current_setting(name, true)), 'null'))
        from unnest(array['app.tenant', 'app.stamped', 'app.name', 'app.other',
            'ebbtide_app.x']) name
    union all select 'session',
        format('user %s %s %s', session_user, current_user, current_setting('role'))
    union all select 'session', 'prepared ' || p.name from pg_prepared_statements p where p.from_sql
    union all select 'session', 'cursor ' || c.name from pg_cursors c where c.is_holdable
    union all select 'session', 'channel ' || c from pg_listening_channels() c
    union all select 'session', 'advisory lock ' || l.objid
        from pg_locks l where l.locktype = 'advisory' and l.pid = pg_backend_pid()
    union all select 'session', 'temporary ' || c.relname
        from pg_class c where c.relpersistence = 't' and c.relkind <> 't'
    union all select 'session', 'temporary schema ' || (pg_my_temp_schema() <> 0)
    union all select 'session', 'last value ' || peek('select lastval()')
    union all select 'session', 'current value ' || peek('select currval(''tickets'')')
    -- SQLSTATE 42883 where the extension is not installed.
    union all select 'session',
        'links ' || coalesce(peek('select dblink_get_connections()::text'), 'none')
    union all select 'session', 'foreign links ' || coalesce(peek(
        'select string_agg(server_name, '' '') from postgres_fdw_get_connections()'), 'none')

    -- Other sessions in this database: those that a body opened, and their locks.
    union all select 'others', format('session %s %s', a.application_name, a.state)
        from pg_stat_activity a
        where a.datname = current_database() and a.pid <> pg_backend_pid()
            and a.application_name like 'hostile%'
    union all select 'others', format('lock %s %s %s', l.locktype, l.mode, l.relation::regclass)
        from pg_locks l
        where l.database = (select oid from pg_database where datname = current_database())
            and l.pid <> pg_backend_pid()
            and (l.locktype = 'advisory' or l.relation >= 16384)
) seen
group by part -- hostile view
