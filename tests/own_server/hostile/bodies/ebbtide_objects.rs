//! Changes of ebbtide's own objects, and of the test's database itself.

use crate::hostile::body::{ANY, Body, DATABASE_ONLY, TX_OR_SANDBOX, sql};

#[rustfmt::skip]
pub(super) const BODIES: &[Body] = &[
    sql("the schema _ebbtide dropped", ANY, "drop schema _ebbtide cascade"),
    sql("the schema _ebbtide renamed", ANY, "alter schema _ebbtide rename to gone"),
    sql("the views of _ebbtide replaced", ANY, "create or replace view _ebbtide.rewound as select 0::numeric as rows, false as estimates, false as session, 0::bigint as restored
        create or replace view _ebbtide.deferrable as select null::text as names
        create or replace view _ebbtide.locals as select null::text as statements
        delete from _ebbtide.sequences
        analyze notes
        select set_config('app.tenant', '1', true)
        select setval('tickets', 5000)"),
    sql("the function _ebbtide.changed_tables replaced", DATABASE_ONLY, "create or replace function _ebbtide.changed_tables(oldest int) returns table(relation text, restored text, unread text, rows bigint) language sql stable as 'select null::text, null::text, null::text, 0::bigint where false'
        insert into notes values (1, 'one')"),
    sql("the view _ebbtide.reset_state replaced", DATABASE_ONLY, "create or replace view _ebbtide.reset_state as select false as drop_needed, null::text as refusal, 1000 as oldest, true as is_superuser
        create table extra (id int)"),
    sql("the trigger against commits disabled", TX_OR_SANDBOX, "alter table _ebbtide.open_test disable trigger all
        insert into notes values (1, 'one')
        commit"),
    sql("the trigger against commits dropped", ANY, "drop trigger refuse_commit on _ebbtide.open_test
        insert into notes values (1, 'one')
        commit"),
    sql("the row in _ebbtide.open_test deleted before a commit", TX_OR_SANDBOX, "insert into notes values (1, 'one')
        delete from _ebbtide.open_test
        commit"),
    sql("the row in _ebbtide.open_test deleted", ANY, "delete from _ebbtide.open_test"),
    sql("a row inserted into _ebbtide.open_test", ANY, "insert into _ebbtide.open_test default values"),
    sql("the table _ebbtide.contents emptied", DATABASE_ONLY, "delete from _ebbtide.contents
        insert into notes values (1, 'one')"),
    sql("ebbtide's copies of the seeded rows emptied", DATABASE_ONLY,
        "do $$ declare t text; begin for t in select oid::regclass from pg_class where relnamespace = '_ebbtide'::regnamespace and relname like 'rows%' loop execute 'delete from ' || t; end loop; end $$
        delete from counted"),
    sql("privileges on the schema _ebbtide revoked", ANY, "revoke all on schema _ebbtide from public
        revoke all on all tables in schema _ebbtide from public
        revoke execute on all functions in schema _ebbtide from public
        revoke execute on all procedures in schema _ebbtide from public"),
    sql("the table _ebbtide.lane updated", ANY, "update _ebbtide.lane set clean = false, holder = 'another'"),
    sql("objects with the names of ebbtide's tables", ANY, "create table public.open_test (server text)
        create temporary table open_test (server text)
        create table public.lane (clean boolean)"),
    sql("a table in the schema _ebbtide", ANY, "create table _ebbtide.mine (id int)"),

    sql("settings of the database", DATABASE_ONLY, "alter database {db} set work_mem = '1MB'"),
    sql("settings of the database, in a transaction", TX_OR_SANDBOX, "alter database {db} set app.tenant = '1'"),
    sql("settings of a role in the database", DATABASE_ONLY, "alter role {role} in database {db} set work_mem = '1MB'
        alter role {role} in database {db} set search_path = nowhere"),
    sql("settings of the role in the database that end sessions", DATABASE_ONLY,
        "alter role {role} in database {db} set statement_timeout = '1ms'
        alter role {role} in database {db} set idle_session_timeout = '1ms'"),
    sql("settings of the database that make sessions read only", DATABASE_ONLY, "alter database {db} set default_transaction_read_only = on"),
    sql("settings of the database, from another database", TX_OR_SANDBOX, "admin: alter database {db} set app.tenant = '1'
        admin: alter role {role} in database {db} set search_path = nowhere"),
    sql("a connection limit", DATABASE_ONLY, "alter database {db} connection limit 0"),
    sql("a connection limit, from another database", TX_OR_SANDBOX, "admin: alter database {db} connection limit 1"),
    sql("no connections allowed", DATABASE_ONLY, "admin: alter database {db} allow_connections false"),
    sql("the database made a template", DATABASE_ONLY, "admin: alter database {db} is_template true"),
    sql("CONNECT revoked", DATABASE_ONLY, "revoke connect, temporary on database {db} from public"),
    sql("CONNECT revoked, from another database", TX_OR_SANDBOX, "admin: revoke connect, temporary on database {db} from public"),
    sql("the database given to another owner", DATABASE_ONLY, "alter database {db} owner to pg_monitor"),
    sql("a comment on the database", DATABASE_ONLY, "comment on database {db} is 'hostile'"),
    sql("a comment on the database, from another database", TX_OR_SANDBOX, "admin: comment on database {db} is 'hostile'"),
    sql("the database renamed", DATABASE_ONLY, "admin: select pg_terminate_backend(pid) from pg_stat_activity where datname = '{db}'
        admin: alter database {db} rename to hostile_{db}
        admin: drop database hostile_{db} with (force)"),
    sql("the database dropped", DATABASE_ONLY, "admin: drop database {db} with (force)"),
    sql("the database dropped during a transaction", TX_OR_SANDBOX, "insert into notes values (1, 'one')
        admin: drop database {db} with (force)"),
    sql("the database dropped, and another created with its name", DATABASE_ONLY, "admin: drop database {db} with (force)
        admin: create database {db} template template0"),
];
