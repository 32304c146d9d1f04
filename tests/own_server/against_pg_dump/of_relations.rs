//! Changes of tables, views, sequences and statistics.

use super::change::Change;

pub(super) const CHANGES: [Change; 72] = [
    Change::new(
        "owner of a table",
        "table",
        "alter table {s}.t{n} owner to ebbtide_owner",
    ),
    Change::new(
        "grant on a table",
        "table",
        "grant select on {s}.t{n} to ebbtide_reader",
    ),
    Change::new(
        "grant to public",
        "table",
        "grant insert on {s}.t{n} to public",
    ),
    Change::new(
        "grant with grant option",
        "grants",
        "grant delete on {s}.gr{n} to ebbtide_owner with grant option",
    ),
    Change::new(
        "grant by another role",
        "grants",
        "set role ebbtide_reader; grant select on {s}.gr{n} to ebbtide_owner; reset role",
    ),
    Change::new(
        "revoke from the owner",
        "table",
        "revoke delete on {s}.t{n} from current_user",
    ),
    Change::new(
        "revoke on a table",
        "grants",
        "revoke select on {s}.gr{n} from ebbtide_reader cascade",
    ),
    Change::new(
        "comment on a table",
        "table",
        "comment on table {s}.t{n} is 'other'",
    ),
    Change::new(
        "security label of a table",
        "table",
        "insert into pg_seclabel values ('{s}.t{n}'::regclass, 'pg_class'::regclass, 0, \
         'dummy', 'secret')",
    ),
    Change::new(
        "tablespace of a table",
        "table",
        "alter table {s}.t{n} set tablespace elsewhere",
    ),
    Change::new(
        "unlogged table",
        "table",
        "alter table {s}.t{n} set unlogged",
    ),
    Change::new(
        "logged table",
        "unlogged table",
        "alter table {s}.u{n} set logged",
    ),
    Change::new(
        "storage parameter",
        "storage parameters",
        "alter table {s}.sp{n} set (fillfactor = 55)",
    ),
    Change::new(
        "storage parameter reset",
        "storage parameters",
        "alter table {s}.sp{n} reset (autovacuum_enabled)",
    ),
    Change::new(
        "toast parameter",
        "storage parameters",
        "alter table {s}.sp{n} set (toast.autovacuum_enabled = on)",
    ),
    Change::new(
        "replica identity full",
        "table",
        "alter table {s}.t{n} replica identity full",
    ),
    Change::new(
        "replica identity nothing",
        "replica identity",
        "alter table {s}.ri{n}_f replica identity nothing",
    ),
    Change::new(
        "replica identity by index",
        "replica identity",
        "alter table {s}.ri{n} replica identity default",
    ),
    Change::new(
        "replica identity by a constraint",
        "table",
        "alter table {s}.t{n} replica identity using index t{n}_pkey",
    ),
    Change::new(
        "cluster by a constraint",
        "table",
        "alter table {s}.t{n} cluster on t{n}_pkey",
    ),
    Change::new(
        "without cluster",
        "cluster",
        "alter table {s}.cl{n} set without cluster",
    ),
    Change::new(
        "row level security",
        "table",
        "alter table {s}.t{n} enable row level security",
    ),
    Change::new(
        "row level security not forced",
        "policy",
        "alter table {s}.po{n} no force row level security",
    ),
    Change::new(
        "schema of a table",
        "table",
        "alter table {s}.t{n} set schema other",
    ),
    Change::new(
        "renamed table",
        "table",
        "alter table {s}.t{n} rename to renamed{n}",
    ),
    Change::new("dropped table", "table", "drop table {s}.t{n} cascade"),
    Change::new("new table", "", "create table public.new{n} (id int)"),
    Change::new(
        "table of a select",
        "",
        "create table public.made{n} as select 1 as a",
    ),
    Change::new(
        "access method of a table",
        "access method",
        "drop table {s}.amt{n}; create table {s}.amt{n} (a int)",
    ),
    Change::new(
        "typed table",
        "typed table",
        "alter table {s}.typed{n} not of",
    ),
    Change::new(
        "inheritance removed",
        "inheritance",
        "alter table {s}.child{n} no inherit {s}.base{n}",
    ),
    Change::new(
        "inheritance added",
        "table",
        "create table {s}.kid{n} (like {s}.t{n}); alter table {s}.kid{n} inherit {s}.t{n}",
    ),
    Change::new(
        "partition detached",
        "range partitions",
        "alter table {s}.p{n} detach partition {s}.p{n}_a",
    ),
    Change::new(
        "partition added",
        "range partitions",
        "create table {s}.p{n}_c partition of {s}.p{n} for values from ('2025-01-01') to \
         ('2025-02-01')",
    ),
    Change::new(
        "partition with other bounds",
        "range partitions",
        "alter table {s}.p{n} detach partition {s}.p{n}_a; alter table {s}.p{n} attach \
         partition {s}.p{n}_a for values from ('2026-01-01') to ('2026-01-20')",
    ),
    Change::new(
        "owner of a partition",
        "range partitions",
        "alter table {s}.p{n}_a owner to ebbtide_owner",
    ),
    Change::new(
        "grant on a partition",
        "range partitions",
        "grant select on {s}.p{n}_a to ebbtide_reader",
    ),
    Change::new(
        "unlogged sequence",
        "sequence",
        "alter sequence {s}.sq{n} set unlogged",
    )
    .since(15),
    Change::new(
        "increment of a sequence",
        "sequence",
        "alter sequence {s}.sq{n} increment -2",
    ),
    Change::new(
        "cache of a sequence",
        "sequence",
        "alter sequence {s}.sq{n} cache 7",
    ),
    Change::new(
        "type of a sequence",
        "sequence",
        "alter sequence {s}.sq{n} as int",
    ),
    Change::new(
        "start of a sequence",
        "sequence",
        "alter sequence {s}.sq{n} start 10",
    ),
    Change::new(
        "cycle of a sequence",
        "sequence",
        "alter sequence {s}.sq{n} no cycle",
    ),
    Change::new(
        "sequence without an owner",
        "owned sequence",
        "alter sequence {s}.os{n}_q owned by none",
    ),
    Change::new(
        "grant on a sequence",
        "sequence",
        "grant usage on sequence {s}.sq{n} to ebbtide_reader",
    ),
    Change::new(
        "comment on a sequence",
        "sequence",
        "comment on sequence {s}.sq{n} is 's'",
    ),
    Change::new(
        "owner of a sequence",
        "sequence",
        "alter sequence {s}.sq{n} owner to ebbtide_owner",
    ),
    Change::new(
        "view of another query",
        "view",
        "create or replace view {s}.v{n} (a, b) with (security_barrier) as select 77, 'y' \
         || current_user",
    ),
    Change::new(
        "view without a barrier",
        "view",
        "alter view {s}.v{n} reset (security_barrier)",
    ),
    Change::new(
        "view of the invoker",
        "view",
        "alter view {s}.v{n} set (security_invoker)",
    )
    .since(15),
    Change::new(
        "check option",
        "updatable view",
        "alter view {s}.vu{n} set (check_option = cascaded)",
    ),
    Change::new(
        "check option removed",
        "updatable view",
        "alter view {s}.vu{n} reset (check_option)",
    ),
    Change::new(
        "default of a view's column",
        "view",
        "alter view {s}.v{n} alter b set default 'z'",
    ),
    Change::new(
        "default of a view's column dropped",
        "view",
        "alter view {s}.v{n} alter a drop default",
    ),
    Change::new(
        "renamed column of a view",
        "view",
        "alter view {s}.v{n} rename column b to c",
    ),
    Change::new(
        "comment on a view's column",
        "view",
        "comment on column {s}.v{n}.a is 'first'",
    ),
    Change::new(
        "grant on a view's column",
        "view",
        "grant select (a) on {s}.v{n} to ebbtide_reader",
    ),
    Change::new(
        "owner of a view",
        "view",
        "alter view {s}.v{n} owner to ebbtide_owner",
    ),
    Change::new(
        "another materialized view",
        "materialized view",
        "drop materialized view {s}.mv{n}; create materialized view {s}.mv{n} as select 99 \
         as g",
    ),
    Change::new(
        "storage of a materialized view's column",
        "materialized view",
        "drop materialized view {s}.mv{n}; create materialized view {s}.mv{n} as select \
         'x'::text as g; alter materialized view {s}.mv{n} alter g set storage external",
    ),
    Change::new(
        "statistics of a materialized view's column",
        "materialized view",
        "alter materialized view {s}.mv{n} alter g set statistics 77",
    ),
    Change::new(
        "parameters of a materialized view",
        "materialized view",
        "alter materialized view {s}.mv{n} set (fillfactor = 66)",
    ),
    Change::new(
        "cluster of a materialized view",
        "materialized view",
        "alter materialized view {s}.mv{n} cluster on mv{n}_g",
    ),
    Change::new(
        "tablespace of a materialized view",
        "materialized view",
        "alter materialized view {s}.mv{n} set tablespace elsewhere",
    ),
    Change::new(
        "comment on a materialized view",
        "materialized view",
        "comment on materialized view {s}.mv{n} is 'm'",
    ),
    Change::new(
        "extension that a materialized view needs",
        "materialized view",
        "alter materialized view {s}.mv{n} depends on extension plpgsql",
    ),
    Change::new(
        "target of statistics",
        "extended statistics",
        "alter statistics {s}.stat{n} set statistics 99",
    ),
    Change::new(
        "statistics of other kinds",
        "extended statistics",
        "drop statistics {s}.stat{n}; create statistics {s}.stat{n} (mcv) on a, b from \
         {s}.es{n}",
    ),
    Change::new(
        "statistics dropped",
        "extended statistics",
        "drop statistics {s}.state{n}",
    ),
    Change::new(
        "comment on statistics",
        "extended statistics",
        "comment on statistics {s}.stat{n} is 's'",
    ),
    Change::new(
        "owner of statistics",
        "extended statistics",
        "alter statistics {s}.stat{n} owner to ebbtide_owner",
    ),
    Change::new(
        "renamed statistics",
        "extended statistics",
        "alter statistics {s}.stat{n} rename to other{n}",
    ),
];
