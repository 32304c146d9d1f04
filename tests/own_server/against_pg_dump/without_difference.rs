//! Changes that neither `pg_dump` nor a comparison reports.

use super::change::Change;

pub(super) const CHANGES: [Change; 42] = [
    Change::new(
        "rows written",
        "table",
        "insert into {s}.t{n} values (777, 'more')",
    )
    .without_difference(),
    Change::new("rows deleted", "table", "delete from {s}.t{n}").without_difference(),
    Change::new("truncated", "table", "truncate {s}.t{n}").without_difference(),
    Change::new("analyzed", "table", "analyze {s}.t{n}").without_difference(),
    Change::new("vacuumed", "table", "vacuum {s}.t{n}").without_difference(),
    Change::new("rewritten", "table", "vacuum full {s}.t{n}").without_difference(),
    Change::new("reindexed", "table", "reindex table {s}.t{n}").without_difference(),
    Change::new("clustered again", "cluster", "cluster {s}.cl{n}").without_difference(),
    Change::new(
        "value of a sequence",
        "sequence",
        "select setval('{s}.sq{n}', 55)",
    )
    .without_difference(),
    Change::new(
        "row of an identity",
        "identity",
        "insert into {s}.id{n} default values",
    )
    .without_difference(),
    Change::new(
        "refreshed",
        "materialized view",
        "refresh materialized view {s}.mv{n}",
    )
    .without_difference(),
    Change::new(
        "emptied materialized view",
        "materialized view",
        "refresh materialized view {s}.mv{n} with no data",
    )
    .without_difference(),
    Change::new(
        "populated materialized view",
        "empty materialized view",
        "refresh materialized view {s}.me{n}",
    )
    .without_difference(),
    Change::new(
        "renamed and back",
        "table",
        "alter table {s}.t{n} rename to away{n}; alter table {s}.away{n} rename to t{n}",
    )
    .without_difference(),
    Change::new(
        "column renamed and back",
        "table",
        "alter table {s}.t{n} rename at to away; alter table {s}.t{n} rename away to at",
    )
    .without_difference(),
    Change::new(
        "moved and back",
        "table",
        "alter table {s}.t{n} set schema other; alter table other.t{n} set schema {s}",
    )
    .without_difference(),
    Change::new(
        "table created and dropped",
        "",
        "create table public.brief{n} (id int); drop table public.brief{n}",
    )
    .without_difference(),
    Change::new(
        "temporary table",
        "",
        "create temporary table brief{n} (id int primary key)",
    )
    .without_difference(),
    Change::new(
        "granted and revoked",
        "table",
        "grant truncate on {s}.t{n} to ebbtide_reader; revoke truncate on {s}.t{n} from \
         ebbtide_reader",
    )
    .without_difference(),
    Change::new(
        "privileges of the owner",
        "table",
        "grant all on {s}.t{n} to current_user",
    )
    .without_difference(),
    Change::new(
        "commented and not",
        "table",
        "comment on table {s}.t{n} is 'x'; comment on table {s}.t{n} is null",
    )
    .without_difference(),
    Change::new(
        "same default",
        "table",
        "alter table {s}.t{n} alter at set default now(); alter table {s}.t{n} alter at \
         drop default",
    )
    .without_difference(),
    Change::new(
        "same owner",
        "table",
        "alter table {s}.t{n} owner to current_user",
    )
    .without_difference(),
    Change::new(
        "same storage",
        "table",
        "alter table {s}.t{n} alter name set storage extended",
    )
    .without_difference(),
    Change::new(
        "same statistics target",
        "table",
        "alter table {s}.t{n} alter name set statistics -1",
    )
    .without_difference(),
    Change::new(
        "same parameter",
        "storage parameters",
        "alter table {s}.sp{n} set (autovacuum_enabled = off)",
    )
    .without_difference(),
    Change::new(
        "same query of a view",
        "recursive views",
        "create or replace view {s}.rb{n} as select a from {s}.ra{n}",
    )
    .without_difference(),
    Change::new(
        "same function",
        "table function",
        "alter function {s}.tf{n}() stable",
    )
    .without_difference(),
    Change::new(
        "statistics of another target and back",
        "extended statistics",
        "alter statistics {s}.state{n} set statistics 9; alter statistics {s}.state{n} set \
         statistics -1",
    )
    .without_difference(),
    Change::new(
        "analyzed statistics",
        "extended statistics",
        "analyze {s}.es{n}",
    )
    .without_difference(),
    Change::new(
        "trigger disabled and back",
        "trigger",
        "alter table {s}.tr{n} disable trigger two{n}; alter table {s}.tr{n} enable trigger \
         two{n}",
    )
    .without_difference(),
    Change::new(
        "index dropped and created",
        "gin index",
        "drop index {s}.gin{n}_b; create index gin{n}_b on {s}.gin{n} using gin (b)",
    )
    .without_difference(),
    Change::new("label of a large object", "", "select lo_create(0)").without_difference(),
    Change::new(
        "comment on a large object",
        "large object",
        "comment on large object 90{n} is 'other'",
    )
    .without_difference(),
    Change::new(
        "prepared and notified",
        "",
        "listen heard; notify heard; unlisten *",
    )
    .without_difference(),
    Change::new(
        "shell operator",
        "",
        "create function public.less{n}(int, bool) returns bool language sql as 'select \
         true'; drop function public.less{n}(int, bool)",
    )
    .without_difference(),
    Change::new(
        "subscription enabled state",
        "subscription with a slot",
        "alter subscription subs{n} enable; alter subscription subs{n} disable",
    )
    .without_difference(),
    Change::new(
        "version of a collation",
        "collation",
        "alter collation {s}.coll{n} refresh version",
    )
    .without_difference(),
    Change::new(
        "setting set and reset",
        "",
        "alter database {d} set jit = off; alter database {d} reset jit",
    )
    .without_difference(),
    Change::new(
        "default privileges set and back",
        "",
        "alter default privileges grant select on sequences to ebbtide_owner; alter default \
         privileges revoke select on sequences from ebbtide_owner",
    )
    .without_difference(),
    Change::new("parameter of the session", "", "set work_mem = '7MB'").without_difference(),
    Change::new("checkpoint", "", "checkpoint").without_difference(),
];
