//! Changes that could survive in rows, pages and sequences.

use crate::hostile::body::{ANY, Body, DATABASE_ONLY, sql};

#[rustfmt::skip]
pub(super) const BODIES: &[Body] = &[
    sql("one row", ANY, "insert into notes values (1, 'one')"),
    sql("20,000 rows", ANY, "insert into notes select n, repeat('x', n % 200) from generate_series(1, 20000) n"),
    sql("20,000 rows inserted and deleted", ANY, "insert into entries select n, n % 4, repeat('x', n % 200) from generate_series(1, 20000) n
        delete from entries"),
    sql("COPY from a program", ANY, "copy notes (n) from program 'seq 1 20000'"),
    sql("an update of seeded rows", ANY, "update counted set body = body || '!'"),
    sql("an update of every second seeded row", ANY, "update counted set body = repeat('y', 80) where n % 2 = 0"),
    sql("many updates of seeded rows", ANY, "do $$ begin for i in 1..20 loop update counted set body = i::text; end loop; end $$"),
    sql("an update that changes nothing", ANY, "update counted set body = body"),
    sql("the deletion of seeded rows", ANY, "delete from counted where n > 250
        delete from orders"),
    sql("the deletion of all rows", ANY, "delete from orders
        delete from customers
        delete from counted
        delete from measured"),
    sql("rows inserted and deleted", ANY, "insert into notes select n, repeat('x', 500) from generate_series(1, 500) n
        delete from notes where n % 3 <> 0"),
    sql("rows inserted, deleted and vacuumed", DATABASE_ONLY, "insert into notes select n, repeat('x', 500) from generate_series(1, 500) n
        delete from notes where n % 3 <> 0
        vacuum notes"),
    sql("rows in descending order of their numbers", ANY, "insert into entries select n, n % 4, repeat('x', n) from generate_series(300, 1, -1) n"),
    sql("long values", ANY, "insert into notes select n, string_agg(md5(m::text), '') from generate_series(1, 20) n, generate_series(1, 2000) m group by n"),
    sql("rows that violate a unique constraint", ANY, "select 1
        insert into counted select n, 'again' from generate_series(1001, 400, -1) n
        insert into customers (name) values ('Laura')"),
    sql("upserts", ANY, "insert into counted select n, 'again' from generate_series(400, 700) n on conflict (n) do update set body = 'changed'
        insert into customers (name) values ('Laura') on conflict do nothing"),
    sql("MERGE", ANY, "merge into counted c using generate_series(400, 700) g(n) on c.n = g.n when matched then delete when not matched then insert values (g.n, 'new')"),
    sql("TRUNCATE", ANY, "truncate notes, counted"),
    sql("TRUNCATE with sequences", ANY, "truncate customers, orders restart identity cascade"),
    sql("TRUNCATE of empty tables", ANY, "truncate notes, entries"),
    sql("rows of partitions inserted, moved and deleted", ANY, "insert into parted values (3, 'north'), (4, 'east')
        update parted set region = 'west' where n = 1
        delete from parted where n = 2"),
    sql("rows of an unlogged table", ANY, "insert into volatile select n, 'x' from generate_series(1, 1000) n"),
    sql("a materialized view refreshed", ANY, "insert into customers (name) values ('Nuria')
        refresh materialized view totals"),
    sql("VACUUM", DATABASE_ONLY, "vacuum"),
    sql("VACUUM FULL", DATABASE_ONLY, "vacuum full"),
    sql("VACUUM FREEZE after a deletion", DATABASE_ONLY, "delete from counted where n < 300
        vacuum (freeze, analyze) counted"),
    sql("CLUSTER", DATABASE_ONLY, "insert into entries select n, -n % 7, 'x' from generate_series(1, 300) n
        cluster entries using entries_shelf"),
    sql("CLUSTER in a transaction", ANY, "begin; cluster counted using counted_pkey; rollback"),
    sql("REINDEX", ANY, "reindex table entries
        reindex table customers"),
    sql("REINDEX CONCURRENTLY", DATABASE_ONLY, "reindex table concurrently counted"),
    sql("large objects created and overwritten", ANY, "select lo_from_bytea(0, 'another')
        select lo_put(4711, 0, 'changed')"),
    sql("a large object removed", ANY, "select lo_unlink(4711)"),
    sql("a large object overwritten", ANY, "select lo_put(4711, 0, 'changed')"),
    sql("nextval", ANY, "select nextval('tickets') from generate_series(1, 50)"),
    sql("setval", ANY, "select setval('tickets', 5000)
        select setval('customers_id_seq', 1, false)"),
    sql("a sequence with a cache", ANY, "select nextval('cached')"),
    sql("rows with identity columns inserted and deleted", ANY, "insert into customers (name) values ('Nuria'), ('Pau')
        delete from customers where name in ('Nuria', 'Pau')"),
    sql("an identity value beyond its sequence", ANY, "insert into customers (id, name) overriding system value values (1000, 'Nuria')"),
    sql("ALTER SEQUENCE", ANY, "alter sequence tickets restart with 7
        alter sequence orders_id_seq increment by 3
        alter sequence cached cache 50"),
    sql("ALTER SEQUENCE with RESTART only", ANY, "alter sequence tickets restart"),
    sql("a sequence dropped, and one owned by a column", ANY, "alter sequence tickets owned by notes.n
        drop sequence cached"),
    sql("a sequence advanced before a failed statement", ANY, "select nextval('tickets')
        select setval('tickets', 77)
        select 1 / 0"),
];
