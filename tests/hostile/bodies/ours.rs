//! What is done to ebbtide's own objects, and to the test's database itself.

use crate::body::{ANY, Body, GUARDED, WHOLE, sql};

#[rustfmt::skip]
pub(super) const BODIES: &[Body] = &[
    sql("our schema dropped", ANY, "drop schema _ebbtide cascade"),
    sql("our schema renamed", ANY, "alter schema _ebbtide rename to gone"),
    sql("our views replaced", ANY, "create or replace view _ebbtide.rewound as select 0::numeric as rows, false as estimates, false as session, 0::bigint as restored
        create or replace view _ebbtide.deferrable as select null::text as names
        create or replace view _ebbtide.locals as select null::text as statements
        delete from _ebbtide.sequences
        analyze notes
        select set_config('app.tenant', '1', true)
        select setval('tickets', 5000)"),
    sql("our procedure of the reset replaced", WHOLE, "create or replace procedure _ebbtide.reset() language plpgsql as $$ begin end $$
        insert into notes values (1, 'one')"),
    sql("our trigger disabled", GUARDED, "alter table _ebbtide.open_test disable trigger all
        insert into notes values (1, 'one')
        commit"),
    sql("our trigger dropped", ANY, "drop trigger refuse_commit on _ebbtide.open_test
        insert into notes values (1, 'one')
        commit"),
    sql("our row deleted", GUARDED, "insert into notes values (1, 'one')
        delete from _ebbtide.open_test
        commit"),
    sql("our row deleted, and nothing else", ANY, "delete from _ebbtide.open_test"),
    sql("rows in our table", ANY, "insert into _ebbtide.open_test default values"),
    sql("the seeds that we keep, changed", WHOLE, "delete from _ebbtide.contents
        insert into notes values (1, 'one')"),
    sql("the seeds that we keep, dropped", WHOLE,
        "do $$ declare t text; begin for t in select oid::regclass from pg_class where relnamespace = '_ebbtide'::regnamespace and relname like 'rows%' loop execute 'delete from ' || t; end loop; end $$
        delete from counted"),
    sql("privileges on our schema", ANY, "revoke all on schema _ebbtide from public
        revoke all on all tables in schema _ebbtide from public
        revoke execute on all functions in schema _ebbtide from public
        revoke execute on all procedures in schema _ebbtide from public"),
    sql("our lane's table", ANY, "update _ebbtide.lane set clean = false, holder = 'another'"),
    sql("objects by our names", ANY, "create table public.open_test (server text)
        create temporary table open_test (server text)
        create table public.lane (clean boolean)"),
    sql("a table in our schema", ANY, "create table _ebbtide.mine (id int)"),

    sql("settings of the database", WHOLE, "alter database {db} set work_mem = '1MB'"),
    sql("settings of the database in a Tx", GUARDED, "alter database {db} set app.tenant = '1'"),
    sql("settings of a role in the database", WHOLE, "alter role {role} in database {db} set work_mem = '1MB'
        alter role {role} in database {db} set search_path = nowhere"),
    sql("settings of the role in the database that end sessions", WHOLE,
        "alter role {role} in database {db} set statement_timeout = '1ms'
        alter role {role} in database {db} set idle_session_timeout = '1ms'"),
    sql("settings of the database that read only", WHOLE, "alter database {db} set default_transaction_read_only = on"),
    sql("settings of the database, from elsewhere", GUARDED, "admin: alter database {db} set app.tenant = '1'
        admin: alter role {role} in database {db} set search_path = nowhere"),
    sql("a connection limit", WHOLE, "alter database {db} connection limit 0"),
    sql("a connection limit, from elsewhere", GUARDED, "admin: alter database {db} connection limit 1"),
    sql("no connections allowed", WHOLE, "admin: alter database {db} allow_connections false"),
    sql("a template of its own", WHOLE, "admin: alter database {db} is_template true"),
    sql("CONNECT revoked", WHOLE, "revoke connect, temporary on database {db} from public"),
    sql("CONNECT revoked, from elsewhere", GUARDED, "admin: revoke connect, temporary on database {db} from public"),
    sql("another owner", WHOLE, "alter database {db} owner to pg_monitor"),
    sql("a comment on the database", WHOLE, "comment on database {db} is 'hostile'"),
    sql("a comment on the database, from elsewhere", GUARDED, "admin: comment on database {db} is 'hostile'"),
    sql("the database renamed", WHOLE, "admin: select pg_terminate_backend(pid) from pg_stat_activity where datname = '{db}'
        admin: alter database {db} rename to hostile_{db}
        admin: drop database hostile_{db} with (force)"),
    sql("the database dropped", WHOLE, "admin: drop database {db} with (force)"),
    sql("the database dropped under a transaction", GUARDED, "insert into notes values (1, 'one')
        admin: drop database {db} with (force)"),
    sql("the database dropped, and another by its name", WHOLE, "admin: drop database {db} with (force)
        admin: create database {db} template template0"),
];
