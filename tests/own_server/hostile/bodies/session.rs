//! Changes that could survive in a session.

use crate::hostile::body::{ANY, Body, DATABASE_ONLY, Needs, TX_OR_SANDBOX, sql};

#[rustfmt::skip]
pub(super) const BODIES: &[Body] = &[
    sql("a SELECT", ANY, "select 1"),
    // Custom settings. After a rollback the setting is '' for the rest of the session. In a new
    // session it is NULL.
    sql("a custom setting, local", ANY, "select set_config('app.tenant', '1', true)"),
    sql("a custom setting, for the session", ANY, "select set_config('app.tenant', '1', false)"),
    sql("a custom setting, by SET", ANY, "set app.tenant = 1
        set local app.name = 'laura'"),
    // In the simple protocol, a setting whose name the schema does not contain leaves no other
    // trace. docs/isolation.md documents this (hole 26), and the view leaves this setting out.
    sql("a custom setting that the schema does not contain", ANY, "select set_config('app.documented', '1', true)"),
    sql("a custom setting that the schema does not contain, in a DO", ANY, "do $$ begin perform set_config('app.' || 'documented', '1', true); end $$"),
    sql("a custom setting that the schema does not contain, prepared", ANY, "prepared: select set_config('app.other', '1', true)"),
    sql("a custom setting, prepared", ANY, "prepared: select set_config('app.tenant', '1', true)
        prepared: set local app.other = 'x'"),
    sql("a custom setting, by a function of the schema", ANY, "select become(1)"),
    sql("a custom setting, by a trigger of the schema", ANY, "insert into orders (customer) values (1)"),
    sql("a custom setting, by dynamic SQL", ANY, "do $$ begin execute 'set local app.ten' || 'ant = 1'; end $$"),
    sql("a custom setting, by a concatenated name", ANY, "select set_config('app.' || 'tenant', '1', true)"),
    sql("a custom setting in a function's SET clause", ANY,
        "create function scoped() returns int language sql set app.tenant = '1' as 'select 1'; select scoped()"),
    sql("a custom setting, rolled back to a savepoint", ANY, "<begin>
        select set_config('app.tenant', '1', true)
        <rollback>"),
    sql("a custom setting, in the application's transaction", ANY, "<begin>
        select set_config('app.tenant', '1', true)
        <commit>"),
    sql("a custom setting, and a failed statement", ANY, "select set_config('app.tenant', '1', true)
        select 1 / 0"),
    sql("a custom setting whose name begins with ebbtide", ANY, "prepared: select set_config('ebbtide_app.x', '1', true)"),
    sql("SET LOCAL ROLE", ANY, "set local role pg_monitor"),
    sql("SET ROLE", ANY, "set role pg_monitor"),
    sql("SET LOCAL ROLE in the application's transaction", ANY, "<begin>
        set local role pg_monitor
        <commit>"),
    sql("a role by set_config", ANY, "select set_config('role', 'pg_monitor', false)"),
    sql("SET SESSION AUTHORIZATION", ANY, "set session authorization pg_monitor"),
    sql("SET LOCAL SESSION AUTHORIZATION", ANY, "set local session authorization pg_monitor"),
    sql("setseed", ANY, "select setseed(0.42)"),
    sql("setseed, prepared and used", ANY, "prepared: select setseed(0.42)
        prepared: select random()"),
    sql("setseed inside a function", ANY, "do $$ begin perform setseed(0.42); end $$"),
    sql("setseed by SET", ANY, "set seed = 0.42"),
    sql("search_path", ANY, "set search_path = nowhere
        set local search_path = pg_catalog"),
    sql("search_path by set_config, as pg_dump does", ANY, "select pg_catalog.set_config('search_path', '', false)"),
    sql("statement_timeout", ANY, "set statement_timeout = '1ms'"),
    sql("statement_timeout, local", ANY, "set local statement_timeout = '1ms'"),
    sql("lock_timeout", ANY, "set lock_timeout = '1ms'
        set local lock_timeout = '1ms'"),
    sql("idle_in_transaction_session_timeout", ANY, "set idle_in_transaction_session_timeout = '1s'"),
    sql("idle_session_timeout", ANY, "set idle_session_timeout = '100ms'"),
    sql("session_replication_role", ANY, "set session_replication_role = replica
        insert into orders (customer) values (4711)"),
    sql("constraints deferred and immediate", ANY, "set constraints all immediate
        set constraints orders_customer deferred
        insert into orders (customer) values (4711)"),
    sql("a library loaded", ANY, "load 'auto_explain'"),
    sql("a library loaded and its setting changed", ANY, "load 'auto_explain'
        set auto_explain.log_min_duration = 0"),
    sql("SET SESSION CHARACTERISTICS", ANY, "set session characteristics as transaction isolation level serializable, read only"),
    sql("default_transaction_read_only off", ANY, "set default_transaction_read_only = off
        set transaction_read_only = off"),
    sql("the client's formats", ANY, "set client_encoding = 'latin1'
        set datestyle = 'German'
        set intervalstyle = 'iso_8601'
        set bytea_output = 'escape'
        set extra_float_digits = 0
        set timezone = 'Asia/Tokyo'
        set xmloption = 'document'"),
    sql("the escapes of strings", ANY, "set standard_conforming_strings = off
        set backslash_quote = on
        set escape_string_warning = off"),
    sql("the planner's settings", ANY, "set enable_seqscan = off
        set local plan_cache_mode = force_generic_plan
        set work_mem = '64kB'
        set cursor_tuple_fraction = 1"),
    sql("settings of statistics in the session", ANY, "set stats_fetch_consistency = 'snapshot'
        select * from pg_stat_user_tables
        set track_activities = off
        set default_statistics_target = 1"),
    sql("settings for superusers", ANY, "set row_security = off
        set zero_damaged_pages = on
        set ignore_checksum_failure = on
        set allow_system_table_mods = on
        set log_min_error_statement = panic
        set lc_messages = 'POSIX'"),
    sql("LISTEN", ANY, "listen tides
        notify tides"),
    sql("LISTEN in the application's transaction", ANY, "<begin>
        listen tides
        <commit>"),
    sql("advisory locks", ANY, "select pg_advisory_lock(1)
        select pg_advisory_lock_shared(2)
        select pg_advisory_xact_lock(3)
        select pg_try_advisory_lock(4, 5)"),
    sql("temporary tables", ANY, "create temporary table scratch (id int)
        create temporary table dropped (id int) on commit drop"),
    sql("a temporary table with the name of another table", ANY, "create temporary table notes (n int, body text)
        insert into notes values (1, 'of the test')"),
    sql("temporary views, sequences, functions and types", ANY, "create temporary view names as select 1 as one
        create temporary sequence numbers
        create function pg_temp.one() returns int language sql as 'select 1'
        create type pg_temp.mood as enum ('sad')"),
    sql("PREPARE", ANY, "prepare mine as select 1
        prepare sqlx_s_1 as select 2
        prepared: select 3"),
    sql("DEALLOCATE of the driver's statements", ANY, "prepared: select 1
        deallocate all
        prepared: select 1"),
    sql("cursors", ANY, "declare held cursor with hold for select generate_series(1, 10)
        declare plain cursor for select 1
        fetch 2 from held"),
    sql("a cursor that is held after a commit", ANY, "select 1
        begin; declare held cursor with hold for select 1; commit"),
    sql("DISCARD and RESET", ANY, "set work_mem = '1MB'
        discard plans
        discard sequences
        discard temp
        reset all"),
    sql("DISCARD ALL", ANY, "prepared: select 1
        discard all"),
    sql("currval and lastval in the session", ANY, "select nextval('tickets')
        select nextval('cached')
        select currval('tickets'), lastval()"),
    sql("BEGIN and COMMIT in SQL", ANY, "begin
        insert into notes values (1, 'in a begin')
        commit
        insert into notes values (2, 'after the commit')"),
    sql("ROLLBACK and a new transaction in SQL", ANY,
        "rollback; begin read write; insert into notes values (1, 'escaped'); commit"),
    sql("COMMIT AND CHAIN", ANY, "begin
        insert into notes values (1, 'one')
        commit and chain
        insert into notes values (2, 'two')"),
    sql("transactions left open", ANY, "<begin>
        insert into notes values (1, 'one')
        <begin>
        insert into notes values (2, 'two')"),
    sql("a transaction that has failed", ANY, "<begin>
        insert into notes values (1, 'one')
        select 1 / 0"),
    sql("a procedure that commits", ANY, "call commits()"),
    sql("savepoints with the names that ebbtide and the driver use", ANY, "savepoint one
        savepoint _ebbtide
        savepoint _sqlx_savepoint_1
        release one
        rollback to nothing"),
    sql("a COMMIT after ebbtide.closing is set", TX_OR_SANDBOX, "insert into notes values (1, 'committed')
        set local ebbtide.closing = 'on'
        commit"),
    sql("the setting ebbtide.test, reset", TX_OR_SANDBOX, "set ebbtide.test = 'shut'
        reset all"),
    sql("a COMMIT on a second connection", TX_OR_SANDBOX,
        "elsewhere: begin read write; insert into notes values (1, 'committed'); commit"),
    sql("a write on a second connection, after default_transaction_read_only is set", TX_OR_SANDBOX, "elsewhere: set default_transaction_read_only = off
        elsewhere: insert into notes values (1, 'committed')"),
    sql("DDL on a second connection", TX_OR_SANDBOX, "elsewhere: begin read write; create table extra (id int); commit"),
    sql("a second connection that waits for the first", TX_OR_SANDBOX, "lock table notes
        elsewhere: set lock_timeout = '10ms'; lock table notes"),
    sql("sessions left idle", ANY, "left: select 1
        left: listen tides"),
    sql("sessions left in a transaction", ANY, "left: begin; select * from notes
        left: begin; lock table customers in access share mode"),
    sql("a session left in a transaction that writes", ANY,
        "left: begin read write; insert into notes values (1, 'not committed'); lock table customers"),
    sql("a session left with advisory locks", ANY, "left: select pg_advisory_lock(1), pg_advisory_lock_shared(2)"),
    sql("a session left with a temporary table", ANY, "left: begin read write; create temporary table t (id int); commit"),
    sql("a session left with a failed transaction", ANY, "select 1
        left: begin; select 1 / 0"),
    sql("the test's own session terminated", ANY, "insert into notes values (1, 'one')
        select pg_terminate_backend(pg_backend_pid())"),
    sql("the test's own statement cancelled", ANY, "select 1
        select pg_cancel_backend(pg_backend_pid()), pg_sleep(1)
        insert into notes values (1, 'one')"),
    sql("the database's other sessions terminated", DATABASE_ONLY,
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"),
    sql("the database's sessions terminated from another database", ANY, "insert into notes values (1, 'one')
        admin: select pg_terminate_backend(pid) from pg_stat_activity where datname = '{db}'"),
    sql("all other sessions of the server terminated", ANY,
        "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"),
    sql("two prepared transactions", DATABASE_ONLY, "begin; insert into notes values (1, 'one'); prepare transaction 'one {db}'
        begin; create table extra (id int); prepare transaction 'two {db}'"),
    sql("the test's own transaction prepared", TX_OR_SANDBOX, "insert into notes values (1, 'one')
        prepare transaction 'stray {db}'"),
    sql("transactions prepared on a second connection", TX_OR_SANDBOX,
        "elsewhere: begin read write; insert into notes values (1, 'one'); prepare transaction 'one {db}'
        elsewhere: begin read write; lock table customers; prepare transaction 'two {db}'"),
    sql("a prepared transaction of another database", DATABASE_ONLY, "admin: begin; select txid_current(); prepare transaction 'of postgres {db}'
        admin: rollback prepared 'of postgres {db}'"),
    sql("replication slots on a server without them", DATABASE_ONLY, "select pg_create_logical_replication_slot('two', 'pgoutput')"),
    sql("a logical replication slot", DATABASE_ONLY, "select pg_create_logical_replication_slot('logical_slot', 'pgoutput')").needing(Needs::Settings),
    sql("a logical replication slot and rows", DATABASE_ONLY, "select pg_create_logical_replication_slot('logical_slot', 'test_decoding')
        insert into notes values (1, 'one')").needing(Needs::Settings),
    sql("a temporary replication slot in a session that outlives the test", DATABASE_ONLY,
        "left: select pg_create_logical_replication_slot('temporary_slot', 'pgoutput', true)").needing(Needs::Settings),
];
