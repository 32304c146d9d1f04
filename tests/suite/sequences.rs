//! Random sequences of statements in a `Tx`. After each sequence, the next test must find the
//! contents of the template. After a rewind, the same test must find the state of the checkpoint.
//!
//! Every fourth sequence has a savepoint for each statement, and every eighth runs in a `Sandbox`.
//!
//! `EBBTIDE_SEQUENCES` is the number of sequences (default 500, and 50 with rewinds).
//! `EBBTIDE_SEED` is the first seed. Its default is fixed, so that a suite that passes also passes
//! the next time. A failure prints the statements, and the variables that repeat only this
//! sequence.

use crate::support::Scratch;
use crate::support::difference::difference;
use crate::support::random::{Random, number_in};
use crate::support::sql::{DATABASE_OID, run};
use ebbtide::{ErrorKind, Harness, Tx, TxOptions};
use sqlx::PgConnection;

const MIGRATION: &str = "
    create type mood as enum ('calm', 'stormy');
    create table customers (id bigint generated always as identity primary key, name text not null unique, mood mood);
    create table orders (
        id serial primary key,
        customer bigint not null constraint orders_customer references customers deferrable initially deferred
    );
    create sequence tickets start 100;
    create view names as select name from customers;
    create procedure commits() language plpgsql as $$ begin insert into orders (customer) values (1); commit; end $$;
    insert into customers (name, mood) values ('Laura', 'calm'), ('Marta', null);
    insert into orders (customer) values (1);
    select nextval('tickets');
";

/// The statements of the sequences. Some always fail, and some only after others.
const STATEMENTS: &[&str] = &[
    // Transaction control.
    "begin",
    "start transaction read write",
    "commit",
    "end",
    "rollback",
    "abort",
    "commit and chain",
    "rollback and chain",
    "savepoint a",
    "rollback to a",
    "release a",
    "savepoint _ebbtide",
    "release _ebbtide",
    "rollback to _ebbtide",
    "prepare transaction 'stray'",
    "call commits()",
    "do $$ begin commit; end $$",
    "rollback; begin read write; insert into customers (name) values ('escaped'); commit",
    "insert into orders (customer) values (2); commit; insert into orders (customer) values (2)",
    // Rows.
    "insert into customers (name) values ('Nuria')",
    "insert into customers (name) values ('Nuria') on conflict do nothing",
    "insert into orders (customer) values (1)",
    "insert into orders (customer) values (4711)",
    "update customers set name = name || '!'",
    "delete from orders",
    "delete from customers",
    "truncate orders",
    "truncate customers, orders restart identity",
    "copy orders (customer) to '/dev/null'",
    "select 1 / 0",
    "select count(*) from names",
    // The schema.
    "create table extra (id serial primary key)",
    "insert into extra default values",
    "drop table if exists extra",
    "drop table customers cascade",
    "alter table customers add column note text default 'x'",
    "alter table orders drop column customer",
    "alter table orders rename to purchases",
    "create index on customers (mood)",
    "create index concurrently on customers (mood)",
    "alter type mood add value 'foggy'",
    "create type weather as enum ('sun', 'rain')",
    "create schema elsewhere",
    "create or replace view names as select 'replaced' as name",
    "drop view names",
    "create function one() returns int language sql as 'select 1'",
    "create trigger t before insert on orders for each row execute function suppress_redundant_updates_trigger()",
    "alter table customers disable trigger all",
    "comment on table customers is 'changed'",
    "grant select on customers to public",
    "alter table customers enable row level security",
    "create policy p on customers using (false)",
    "reindex table customers",
    "analyze customers",
    "vacuum",
    // Sequences.
    "select nextval('tickets')",
    "select setval('tickets', 5000)",
    "select setval('customers_id_seq', 1, false)",
    "alter sequence tickets restart with 7",
    "alter sequence orders_id_seq increment by 3",
    "drop sequence tickets",
    "create sequence more",
    // The session.
    "set work_mem = '1MB'",
    "set local work_mem = '2MB'",
    "set search_path = pg_catalog",
    "set timezone = 'Asia/Tokyo'",
    "set session characteristics as transaction read write",
    "set default_transaction_read_only = off",
    "set transaction read only",
    "set session_replication_role = replica",
    "set role pg_monitor",
    "set ebbtide.test = 'shut'",
    "reset all",
    "discard all",
    "discard temp",
    "set constraints all immediate",
    "set constraints all deferred",
    "set constraints orders_customer immediate",
    "listen tides",
    "notify tides",
    "unlisten *",
    "prepare p as select 1",
    "deallocate all",
    "create temp table scratch (id int)",
    "create temp table scratch_2 (id int) on commit delete rows",
    "declare c cursor with hold for select 1",
    "declare d cursor for select 1",
    "select pg_advisory_lock(1)",
    "select pg_advisory_xact_lock(2)",
    "lock table customers in access exclusive mode",
    "select lo_create(0)",
];

/// Everything that the next test could find: the schema's objects, rows, sequences and the session.
///
/// Two things are left out. First, hints that PostgreSQL keeps after a rollback: a table's number
/// of pages and rows, and whether it once had an index, a rule or a trigger
/// (<https://www.postgresql.org/docs/current/catalog-pg-class.html>). Second, the settings that
/// PL/pgSQL defines when a session first uses it.
const STATE: &str = "
    select unnest(array[
        (select string_agg(t, e'\\n' order by t) from (
            select 'class ' || (to_jsonb(c) - array['relpages', 'reltuples', 'relallvisible', 'relallfrozen',
                'relhasindex', 'relhasrules', 'relhastriggers', 'relhassubclass'])::text from pg_class c where c.oid >= 16384
                and c.relnamespace <> '_ebbtide'::regnamespace
            union all select 'attribute ' || a::text from pg_attribute a where a.attrelid >= 16384
            union all select 'default ' || d::text from pg_attrdef d
            union all select 'type ' || t::text from pg_type t where t.oid >= 16384
            union all select 'enum ' || e::text from pg_enum e
            union all select 'function ' || p::text from pg_proc p where p.oid >= 16384
            union all select 'constraint ' || c::text from pg_constraint c where c.oid >= 16384
            union all select 'trigger ' || t::text from pg_trigger t
            union all select 'index ' || i::text from pg_index i where i.indexrelid >= 16384
            union all select 'rule ' || r::text from pg_rewrite r where r.oid >= 16384
            union all select 'schema ' || n::text from pg_namespace n
            union all select 'policy ' || p::text from pg_policy p
            union all select 'comment ' || d::text from pg_description d where d.objoid >= 16384
            union all select 'sequence ' || s::text from pg_sequence s
            union all select 'large object ' || l::text from pg_largeobject_metadata l
            union all select 'statistics ' || s.tablename || s.attname from pg_stats s where s.schemaname = 'public'
            union all select 'setting ' || s.setrole || s.setconfig::text from pg_db_role_setting s
                join pg_database d on d.oid = s.setdatabase where d.datname = current_database()
        ) s(t)),
        (select string_agg(t, e'\\n' order by t) from (
            select 'customer ' || c::text from customers c union all select 'order ' || o::text from orders o
            union all select 'tickets ' || last_value || is_called from tickets
            union all select 'customers ' || last_value || is_called from customers_id_seq
            union all select 'orders ' || last_value || is_called from orders_id_seq
        ) s(t)),
        (select string_agg(t, e'\\n' order by t) from (
            select 'setting ' || name || ' ' || setting from pg_settings
                where name <> 'application_name' and name not like 'plpgsql.%'
            union all select 'test ' || coalesce(split_part(current_setting('ebbtide.test', true), ' ', 1), '')
            union all select 'role ' || current_user || session_user
            union all select 'prepared ' || p.name from pg_prepared_statements p where p.statement not like '%for the state%'
            union all select 'cursor ' || c.name from pg_cursors c
            union all select 'channel ' || c from pg_listening_channels() c
            union all select 'lock ' || l.objid from pg_locks l where l.locktype = 'advisory' and l.pid = pg_backend_pid()
            union all select 'temporary ' || c.relname from pg_class c where c.relpersistence = 't'
            union all select 'transaction ' || p.gid from pg_prepared_xacts p where p.database = current_database()
        ) s(t))
    ]) -- for the state";

async fn state(connection: &mut PgConnection) -> Vec<String> {
    try_state(connection).await.unwrap()
}

async fn try_state(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(STATE)
        .persistent(false)
        .fetch_all(connection)
        .await
}

/// The database's OID, which differs after a copy.
async fn oid(tx: &mut Tx) -> i64 {
    sqlx::query_scalar(DATABASE_OID)
        .persistent(false)
        .fetch_one(&mut **tx)
        .await
        .unwrap()
}

/// How often the sequences ended in which way.
#[derive(Debug, Default)]
struct Outcomes {
    clean: u64,
    violated: u64,
    escaped: u64,
    copied: u64,
}

#[tokio::test]
async fn after_any_statements_the_next_test_finds_the_contents_of_the_template() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_shop.sql", MIGRATION);
    let harness = scratch.builder().build().unwrap();
    let count = number_in("EBBTIDE_SEQUENCES").unwrap_or(500);
    let first = number_in("EBBTIDE_SEED").unwrap_or(0);
    // An unused template may be dropped for newer ones. Its next build would have other OIDs. This
    // transaction keeps it in use.
    let keeps_template = harness.tx().await.unwrap();
    let mut tx = harness.tx().await.unwrap();
    let (template, mut lane) = (state(&mut tx).await, oid(&mut tx).await);
    tx.close().await.unwrap();
    let mut outcomes = Outcomes::default();
    for seed in first..first + count {
        let statements = sequence(seed);
        run_sequence(&harness, &statements, &mut outcomes, seed).await;
        let mut tx = harness.tx().await.unwrap();
        let found = state(&mut tx).await;
        for (part, expected) in found.iter().zip(&template) {
            assert!(
                part == expected,
                "EBBTIDE_SEED={seed} EBBTIDE_SEQUENCES=1\n{statements:#?}\n{}",
                difference(expected, part)
            );
        }
        let now = oid(&mut tx).await;
        outcomes.copied += u64::from(now != lane);
        lane = now;
        tx.close().await.unwrap();
    }
    keeps_template.close().await.unwrap();
    println!("{count} sequences from seed {first}: {outcomes:?}");
}

#[tokio::test]
async fn after_any_statements_a_rewind_finds_the_state_of_the_checkpoint() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_shop.sql", MIGRATION);
    let harness = scratch.builder().build().unwrap();
    let count = number_in("EBBTIDE_SEQUENCES").unwrap_or(50);
    let first = number_in("EBBTIDE_SEED").unwrap_or(0);
    let mut rewinds = 0;
    for seed in first..first + count {
        let options = match seed % 3 {
            0 => TxOptions::new().savepoints(),
            _ => TxOptions::new(),
        };
        let mut tx = harness.tx_with(options).await.unwrap();
        rewinds += run_and_rewind(&mut tx, seed).await;
        // What the close checks is the subject of the test above.
        let _ = tx.close().await;
    }
    println!("{count} sequences from seed {first}: {rewinds} rewinds");
    assert!(rewinds > count / 4, "too few sequences reach a checkpoint");
}

/// Runs the first statements of a sequence, sets a checkpoint, and runs the others twice, each time
/// with a rewind. Returns the number of rewinds that succeeded.
async fn run_and_rewind(tx: &mut Tx, seed: u64) -> u64 {
    let mut statements = sequence(seed);
    let at = Random(seed).below(3).min(statements.len() - 1);
    let others = statements.split_off(at);
    for sql in &statements {
        let _ = run(tx, sql).await;
    }
    let Some(checkpoint) = unless_refused(tx.checkpoint().await) else {
        return 0;
    };
    // The first statements may have dropped a table that the state contains.
    let Ok(expected) = try_state(tx).await else {
        return 0;
    };
    for rewinds in 0..2 {
        for sql in &others {
            // A deallocated statement is not prepared again.
            if *sql != "deallocate all" {
                let _ = run(tx, sql).await;
            }
        }
        if unless_refused(tx.rewind_to(&checkpoint).await).is_none() {
            return rewinds;
        }
        for (part, expected) in state(tx).await.iter().zip(&expected) {
            assert!(
                part == expected,
                "EBBTIDE_SEED={seed} EBBTIDE_SEQUENCES=1\n{statements:#?}\n{others:#?}\n{}",
                difference(expected, part)
            );
        }
    }
    2
}

/// `None` if the statements have ended the transaction or the savepoint of the checkpoint, or do
/// not allow one.
fn unless_refused<T>(result: Result<T, ebbtide::Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            let kinds = [ErrorKind::Checkpoint, ErrorKind::TransactionEscaped];
            assert!(kinds.contains(&error.kind()), "{error:?}");
            None
        }
    }
}

/// One to eight random statements.
fn sequence(seed: u64) -> Vec<&'static str> {
    let mut random = Random(seed);
    let length = 1 + random.below(8);
    (0..length)
        .map(|_| STATEMENTS[random.below(STATEMENTS.len())])
        .collect()
}

/// Runs a sequence as one test, and counts how the test ended.
async fn run_sequence(
    harness: &Harness,
    statements: &[&'static str],
    outcomes: &mut Outcomes,
    seed: u64,
) {
    match run_and_close(harness, statements, seed).await {
        Ok(()) => outcomes.clean += 1,
        Err(error) => match error.kind() {
            ErrorKind::ConstraintViolated => outcomes.violated += 1,
            ErrorKind::TransactionEscaped => outcomes.escaped += 1,
            _ => panic!("EBBTIDE_SEED={seed} EBBTIDE_SEQUENCES=1\n{statements:#?}\n{error:?}"),
        },
    }
}

/// Runs a sequence as one test. The server refuses many of the statements, so their results are
/// ignored.
async fn run_and_close(
    harness: &Harness,
    statements: &[&'static str],
    seed: u64,
) -> Result<(), ebbtide::Error> {
    let options = match seed % 8 {
        0 | 4 => TxOptions::new().savepoints(),
        2 => return run_in_a_sandbox(harness, statements, &mut Random(seed)).await,
        _ => TxOptions::new(),
    };
    let mut tx = harness.tx_with(options).await.unwrap();
    for sql in statements {
        let _ = run(&mut tx, sql).await;
    }
    tx.close().await
}

/// Runs a sequence in a `Sandbox`, and sometimes releases the connection in between. After a
/// statement has ended the transaction, `acquire` may fail.
async fn run_in_a_sandbox(
    harness: &Harness,
    statements: &[&'static str],
    random: &mut Random,
) -> Result<(), ebbtide::Error> {
    let sandbox = harness.sandbox().await.unwrap();
    let mut connection = sandbox.acquire().await;
    for sql in statements {
        if random.below(3) == 0 {
            drop(connection);
            connection = sandbox.acquire().await;
        }
        if let Ok(connection) = &mut connection {
            let _ = run(connection, sql).await;
        }
    }
    drop(connection);
    sandbox.close().await
}
