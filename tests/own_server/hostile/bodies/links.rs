//! SQL that connects to the test's own database through another session, and commits there.

use crate::hostile::body::{ANY, Body, Needs, TX_OR_SANDBOX, sql};

const DBLINK: Needs = Needs::Extension("dblink");
const POSTGRES_FDW: Needs = Needs::Extension("postgres_fdw");

#[rustfmt::skip]
pub(super) const BODIES: &[Body] = &[
    sql("an unnamed dblink connection", ANY, "select dblink_connect(self())").needing(DBLINK),
    sql("a named dblink connection", ANY, "select dblink_connect('c', self())").needing(DBLINK),
    sql("a dblink connection by a prepared statement", ANY, "prepared: select dblink_connect('c', self())").needing(DBLINK),
    sql("a dblink connection in the application's transaction", ANY, "<begin>
        select dblink_connect('c', self())
        <rollback>").needing(DBLINK),
    sql("dblink_exec of an INSERT", ANY, "select dblink_exec(self(), 'insert into notes values (1, ''by dblink'')')").needing(DBLINK),
    sql("dblink_exec of DDL", ANY, "select dblink_exec(self(), 'create table extra (id int)')").needing(DBLINK),
    sql("dblink_exec on a named connection, and a failed statement", ANY, "select dblink_connect('c', self()), dblink_exec('c', 'update counted set body = ''changed''')
        select 1 / 0").needing(DBLINK),
    sql("dblink_exec in a transaction that the application rolls back", ANY, "<begin>
        select dblink_exec(self(), 'delete from orders')
        <rollback>").needing(DBLINK),
    sql("dblink_exec of a sequence", ANY, "select dblink_exec(self(), 'alter sequence tickets restart with 9')").needing(DBLINK),
    sql("dblink that sets a sequence", ANY, "select * from dblink(self(), 'select setval(''tickets'', 5000)') t(value bigint)").needing(DBLINK),
    sql("a dblink query that still runs", ANY,
        "select dblink_connect('c', self()), dblink_send_query('c', 'begin; insert into notes values (1, ''late''); select pg_sleep(0.3); commit')").needing(DBLINK),
    sql("a dblink transaction that stays open", ANY, "select dblink_connect('c', self()), dblink_exec('c', 'begin'), dblink_exec('c', 'lock table customers')").needing(DBLINK),
    sql("a transaction prepared through dblink", ANY, "select dblink_connect('c', self()), dblink_exec('c', 'begin'), dblink_exec('c', 'insert into notes values (1, ''one'')')
        select dblink_exec('c', 'prepare transaction ''by a link''')").needing(DBLINK),
    sql("dblink inside a function", ANY, "create function hidden() returns text language plpgsql as $$ begin return dblink_exec(self(), 'insert into notes values (1, ''hidden'')'); end $$
        select hidden()").needing(DBLINK),
    sql("dblink dropped after its use", ANY, "select dblink_exec(self(), 'insert into notes values (1, ''one'')')
        drop extension dblink").needing(DBLINK),
    sql("dblink that resets the counters", ANY, "select dblink_exec(self(), 'insert into notes values (1, ''one'')')
        select * from dblink(self(), 'select pg_stat_reset()::text') t(nothing text)").needing(DBLINK),
    sql("a foreign table of the test's own database", ANY, "create server own foreign data wrapper postgres_fdw
        do $$ begin execute format('alter server own options (add host %L, add port %L, add dbname %L)', trim('\"' from split_part(current_setting('unix_socket_directories'), ',', 1)), current_setting('port'), current_database()); end $$
        create user mapping for current_user server own options (user '{role}')
        create foreign table far_notes (n int, body text) server own options (table_name 'notes')
        insert into far_notes values (1, 'from afar')
        select count(*) from far_notes").needing(POSTGRES_FDW),
    sql("dblink_exec by an extension that the test installs", TX_OR_SANDBOX, "create extension dblink
        select dblink_exec(self(), 'insert into notes values (1, ''by dblink'')')").needing(Needs::Available("dblink")),
    sql("a dblink connection by an extension that the test installs", ANY, "create extension dblink
        select dblink_connect('c', self())").needing(Needs::Available("dblink")),
    sql("dblink installed and used in a transaction that the application rolls back", ANY, "<begin>
        create extension dblink
        select dblink_exec(self(), 'insert into notes values (1, ''by dblink'')')
        <rollback>").needing(Needs::Available("dblink")),
    sql("psql started by COPY TO PROGRAM", ANY, r#"do $$ begin execute format('copy (select 1) to program %L', format('%s/psql -X -h %s -p %s -U %s -d %s -c "insert into notes values (1)"', (select setting from pg_config where name = 'BINDIR'), trim(chr(34) from split_part(current_setting('unix_socket_directories'), ',', 1)), current_setting('port'), session_user, current_database())); end $$"#),
];
