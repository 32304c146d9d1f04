//! Changes of constraints, indexes, triggers, rules and policies.

use super::change::Change;

pub(super) const CHANGES: [Change; 63] = [
    Change::new(
        "check added",
        "table",
        "alter table {s}.t{n} add constraint c{n} check (id > 0)",
    ),
    Change::new(
        "check without validation",
        "table",
        "alter table {s}.t{n} add constraint c{n} check (id > 0) not valid",
    ),
    Change::new(
        "check validated",
        "check constraint",
        "alter table {s}.ck{n} validate constraint later{n}",
    ),
    Change::new(
        "check dropped",
        "check constraint",
        "alter table {s}.ck{n} drop constraint both{n}",
    ),
    Change::new(
        "constraint renamed",
        "check constraint",
        "alter table {s}.ck{n} rename constraint later{n} to sooner{n}",
    ),
    Change::new(
        "comment on a constraint",
        "check constraint",
        "comment on constraint later{n} on {s}.ck{n} is 'c'",
    ),
    Change::new(
        "primary key dropped",
        "table",
        "alter table {s}.t{n} drop constraint t{n}_pkey",
    ),
    Change::new(
        "primary key renamed",
        "table",
        "alter index {s}.t{n}_pkey rename to key{n}",
    ),
    Change::new(
        "tablespace of a primary key",
        "table",
        "alter index {s}.t{n}_pkey set tablespace elsewhere",
    ),
    Change::new(
        "parameters of a primary key",
        "table",
        "alter index {s}.t{n}_pkey set (fillfactor = 44)",
    ),
    Change::new(
        "comment on the index of a constraint",
        "table",
        "comment on index {s}.t{n}_pkey is 'i'",
    ),
    Change::new(
        "foreign key without validation",
        "foreign key",
        "alter table {s}.fk{n}_b add constraint v{n} foreign key (other) references \
         {s}.fk{n} not valid",
    ),
    Change::new(
        "foreign key not deferred",
        "foreign key",
        "alter table {s}.fk{n}_b alter constraint fk{n}_b_id_fkey deferrable initially \
         immediate",
    ),
    Change::new(
        "foreign key not deferrable",
        "foreign key",
        "alter table {s}.fk{n}_b alter constraint fk{n}_b_id_fkey not deferrable",
    ),
    Change::new(
        "foreign key with another action",
        "foreign key",
        "alter table {s}.fk{n}_b drop constraint fk{n}_b_id_fkey; alter table {s}.fk{n}_b \
         add constraint fk{n}_b_id_fkey foreign key (id) references {s}.fk{n} on delete set \
         null deferrable initially deferred",
    ),
    Change::new(
        "foreign key enforced",
        "what 18 has",
        "alter table {s}.n18{n} alter constraint n18{n}_d_fkey enforced",
    )
    .since(18),
    Change::new(
        "foreign key of partitions",
        "range partitions",
        "truncate {s}.p{n}; create table {s}.goal{n} (v int primary key); alter table \
         {s}.p{n} add foreign key (v) references {s}.goal{n}",
    ),
    Change::new(
        "unique dropped",
        "unique constraint",
        "alter table {s}.un{n} drop constraint un{n}_b_key",
    ),
    Change::new(
        "nulls distinct",
        "unique constraint",
        "alter table {s}.un{n} drop constraint un{n}_b_key; alter table {s}.un{n} add \
         constraint un{n}_b_key unique (b) deferrable",
    )
    .since(15),
    Change::new(
        "exclusion dropped",
        "exclusion constraint",
        "alter table {s}.ex{n} drop constraint ex{n}_during_excl",
    ),
    Change::new(
        "primary key of partitions",
        "list partitions",
        "alter table {s}.pl{n} add unique (k)",
    ),
    Change::new(
        "check of partitions",
        "range partitions",
        "alter table {s}.p{n} add constraint c{n} check (v > -9)",
    ),
    Change::new(
        "check of one partition",
        "range partitions",
        "alter table {s}.p{n}_a add constraint c{n} check (v > -9)",
    ),
    Change::new(
        "index added",
        "table",
        "create index extra{n} on {s}.t{n} (name)",
    ),
    Change::new(
        "index dropped",
        "expression index",
        "drop index {s}.ix{n}_e",
    ),
    Change::new(
        "index renamed",
        "expression index",
        "alter index {s}.ix{n}_e rename to renamed{n}",
    ),
    Change::new(
        "index of other columns",
        "gin index",
        "drop index {s}.gin{n}_b; create index gin{n}_b on {s}.gin{n} using gin (b, a)",
    ),
    Change::new(
        "index with other operators",
        "gin index",
        "drop index {s}.gin{n}_a; create index gin{n}_a on {s}.gin{n} using gin (a) with \
         (fastupdate = off)",
    ),
    Change::new(
        "index with another predicate",
        "expression index",
        "drop index {s}.ix{n}_e; create unique index ix{n}_e on {s}.ix{n} (lower(a) desc \
         nulls last) where b > 70",
    ),
    Change::new(
        "index that includes a column",
        "expression index",
        "drop index {s}.ix{n}_e; create unique index ix{n}_e on {s}.ix{n} (a) include (b)",
    ),
    Change::new(
        "index of another collation",
        "expression index",
        "drop index {s}.ix{n}_e; create index ix{n}_e on {s}.ix{n} (a collate \"C\")",
    ),
    Change::new(
        "parameters of an index",
        "brin and hash index",
        "alter index {s}.br{n}_a set (pages_per_range = 88)",
    ),
    Change::new(
        "tablespace of an index",
        "brin and hash index",
        "alter index {s}.br{n}_b set tablespace elsewhere",
    ),
    Change::new(
        "statistics of an index",
        "expression index",
        "alter index {s}.ix{n}_e alter column 2 set statistics 555",
    ),
    Change::new(
        "comment on an index",
        "expression index",
        "comment on index {s}.ix{n}_e is 'i'",
    ),
    Change::new(
        "extension that an index needs",
        "expression index",
        "alter index {s}.ix{n}_e depends on extension plpgsql",
    ),
    Change::new(
        "index that clusters",
        "replica identity",
        "alter table {s}.ri{n} cluster on ri{n}_a",
    ),
    Change::new(
        "index of partitions",
        "range partitions",
        "create index more{n} on {s}.p{n} (day)",
    ),
    Change::new(
        "index of partitions dropped",
        "range partitions",
        "drop index {s}.p{n}_v_idx",
    ),
    Change::new(
        "index of one partition renamed",
        "range partitions",
        "alter index {s}.p{n}_a_v_idx rename to apart{n}",
    ),
    Change::new(
        "parameters of one partition's index",
        "range partitions",
        "alter index {s}.p{n}_a_v_idx set (fillfactor = 33)",
    ),
    Change::new(
        "comment on one partition's index",
        "range partitions",
        "comment on index {s}.p{n}_a_v_idx is 'part'",
    ),
    Change::new(
        "trigger disabled",
        "trigger",
        "alter table {s}.tr{n} disable trigger two{n}",
    ),
    Change::new(
        "trigger enabled",
        "trigger",
        "alter table {s}.tr{n} enable trigger one{n}",
    ),
    Change::new(
        "trigger enabled always",
        "trigger",
        "alter table {s}.tr{n} enable always trigger three{n}",
    ),
    Change::new(
        "trigger dropped",
        "trigger",
        "drop trigger one{n} on {s}.tr{n}",
    ),
    Change::new(
        "trigger renamed",
        "trigger",
        "alter trigger one{n} on {s}.tr{n} rename to first{n}",
    ),
    Change::new(
        "trigger with another condition",
        "trigger",
        "create or replace trigger one{n} before insert or update of a on {s}.tr{n} for \
         each row when (new.a > 77) execute function {s}.trf{n}('x'); alter table {s}.tr{n} \
         disable trigger one{n}",
    ),
    Change::new(
        "comment on a trigger",
        "trigger",
        "comment on trigger one{n} on {s}.tr{n} is 't'",
    ),
    Change::new(
        "extension that a trigger needs",
        "trigger",
        "alter trigger one{n} on {s}.tr{n} depends on extension plpgsql",
    ),
    Change::new(
        "trigger of partitions",
        "range partitions",
        "create function {s}.ptf{n}() returns trigger language plpgsql as 'begin return \
         null; end'; create trigger pt{n} after insert on {s}.p{n} for each row execute \
         function {s}.ptf{n}()",
    ),
    Change::new(
        "trigger of one partition disabled",
        "range partitions",
        "create function {s}.ptf{n}() returns trigger language plpgsql as 'begin return \
         null; end'; create trigger pt{n} after insert on {s}.p{n} for each row execute \
         function {s}.ptf{n}(); alter table {s}.p{n}_a disable trigger pt{n}",
    ),
    Change::new(
        "rule enabled",
        "rule",
        "alter table {s}.ru{n} enable rule loud{n}",
    ),
    Change::new(
        "rule disabled",
        "rule",
        "alter table {s}.ru{n} disable rule quiet{n}",
    ),
    Change::new(
        "rule replaced",
        "rule",
        "create or replace rule loud{n} as on insert to {s}.ru{n} do also notify other",
    ),
    Change::new(
        "rule renamed",
        "rule",
        "alter rule quiet{n} on {s}.ru{n} rename to silent{n}",
    ),
    Change::new(
        "comment on a rule",
        "rule",
        "comment on rule quiet{n} on {s}.ru{n} is 'r'",
    ),
    Change::new(
        "policy for other roles",
        "policy",
        "alter policy mine{n} on {s}.po{n} to ebbtide_owner",
    ),
    Change::new(
        "policy with another condition",
        "policy",
        "alter policy mine{n} on {s}.po{n} using (a = 77)",
    ),
    Change::new(
        "policy with another check",
        "policy",
        "alter policy mine{n} on {s}.po{n} with check (a > 77)",
    ),
    Change::new(
        "policy dropped",
        "policy",
        "drop policy mine{n} on {s}.po{n}",
    ),
    Change::new(
        "policy renamed",
        "policy",
        "alter policy mine{n} on {s}.po{n} rename to yours{n}",
    ),
    Change::new(
        "comment on a policy",
        "policy",
        "comment on policy mine{n} on {s}.po{n} is 'p'",
    ),
];
