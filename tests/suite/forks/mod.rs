//! Forks and checkpoints: databases that begin with the state of another one.

mod checkpoints;
mod lifetimes;
mod roles;
mod sources;

use ebbtide::{Database, Harness};
use sqlx::postgres::PgPool;

use crate::support::Scratch;
use crate::support::sql::is_superuser;

/// Everything that has contents of its own, with seeded rows.
const MIGRATION: &str = "
    create table shelves (id int primary key, name text not null);
    insert into shelves select n, 'shelf ' || n from generate_series(1, 5) n;
    create table books (id bigint generated always as identity primary key,
        shelf int not null references shelves, title text, length int,
        shown text generated always as (title || '!') stored);
    create table loans (day date, book bigint references books) partition by range (day);
    create table loans_2026 partition of loans for values from ('2026-01-01') to ('2027-01-01');
    create unlogged table visits (at timestamptz, weight float8);
    create sequence tickets start 100;
    create materialized view totals as select count(*) as shelves from shelves;
    create function forbid() returns trigger language plpgsql as
        $$ begin raise exception 'the trigger fires'; end $$;
    create trigger forbid before insert or delete or truncate on visits
        for each statement when (current_setting('work_mem') = '7MB')
        execute function forbid();
    select lo_from_bytea(4711, 'seeded');
";

/// What a test changes, without the schema.
const CHANGES: &str = "
    delete from shelves where id > 3;
    update shelves set name = 'moved' where id = 1;
    insert into books (shelf, title) values (1, 'Emma'), (2, null), (3, E'a\\tb\\\\n');
    insert into loans values ('2026-05-01', 1);
    insert into visits values ('2026-05-01 12:00+02', 0.1), (null, 'NaN');
    select nextval('tickets') from generate_series(1, 3);
    select setval('books_id_seq', 70, false);
    select lo_put(4711, 0, 'S'), lo_from_bytea(4712, decode(repeat('00ff', 3000), 'hex'));
    comment on large object 4712 is 'large';
    do $$ begin
        execute format('alter database %I set work_mem = ''7MB''', current_database());
        execute format('comment on database %I is ''of a test''', current_database());
    end $$;
";

/// All of it as one text, in physical order.
const STATE: &str = "select concat_ws(E'\\n',
    (select string_agg(t::text, ' ' order by ctid) from shelves t),
    (select string_agg(t::text, ' ' order by ctid) from books t),
    (select string_agg(t::text, ' ') from loans t),
    (select string_agg(t::text, ' ' order by ctid) from visits t),
    (select string_agg(t::text, ' ') from totals t),
    (select concat(last_value, is_called) from tickets),
    (select concat(last_value, is_called) from books_id_seq),
    (select string_agg(concat(oid, md5(lo_get(oid)), lomowner, lomacl,
        obj_description(oid, 'pg_largeobject')), ' ' order by oid) from pg_largeobject_metadata),
    current_setting('work_mem'),
    (select concat(shobj_description(oid, 'pg_database'), datdba, datacl) from pg_database
        where datname = current_database()))";

fn harness(scratch: &Scratch) -> Harness {
    scratch.harness("1_library.sql", MIGRATION)
}

/// The contents, as a new session sees them.
async fn state(database: &Database) -> String {
    let pool = PgPool::connect(database.url()).await.unwrap();
    let state = sqlx::query_scalar(STATE).fetch_one(&pool).await.unwrap();
    pool.close().await;
    state
}

async fn titles(database: &Database) -> String {
    sqlx::query_scalar("select coalesce(string_agg(title, ',' order by id), '') from books")
        .fetch_one(&database.pool())
        .await
        .unwrap()
}

async fn add(database: &Database, title: &str) {
    sqlx::query("insert into books (shelf, title) values (1, $1)")
        .bind(title)
        .execute(&database.pool())
        .await
        .unwrap();
}

/// Whether ebbtide may copy a database while other sessions use it.
async fn copies_with_sessions(harness: &Harness) -> bool {
    let mut tx = harness.tx().await.unwrap();
    let is_superuser = is_superuser(&mut tx).await;
    tx.close().await.unwrap();
    is_superuser
}
