//! Changes of the database, of replication, foreign data and privileges.

use super::change::Change;

pub(super) const CHANGES: [Change; 76] = [
    Change::new("schema", "", "create schema new{n}"),
    Change::new(
        "schema renamed",
        "schema",
        "alter schema sch{n} rename to other{n}",
    ),
    Change::new(
        "owner of a schema",
        "schema",
        "alter schema sch{n} owner to ebbtide_reader",
    ),
    Change::new(
        "grant on a schema",
        "schema",
        "grant usage on schema sch{n} to public",
    ),
    Change::new(
        "revoke on a schema",
        "schema",
        "revoke create on schema sch{n} from ebbtide_reader cascade",
    ),
    Change::new(
        "comment on a schema",
        "schema",
        "comment on schema sch{n} is 's'",
    ),
    Change::new(
        "grant on public",
        "",
        "grant create on schema public to public",
    ),
    Change::new(
        "revoke on public",
        "",
        "revoke usage on schema public from public",
    ),
    Change::new(
        "owner of public",
        "",
        "alter schema public owner to ebbtide_owner",
    ),
    Change::new(
        "comment on public",
        "",
        "comment on schema public is 'mine'",
    ),
    Change::new("extension", "", "create extension hstore"),
    Change::new(
        "extension dropped",
        "extension with a table",
        "drop extension if exists tablefunc",
    ),
    Change::new(
        "schema of an extension",
        "extension",
        "create schema moved{n}; alter extension citext set schema moved{n}",
    ),
    Change::new(
        "comment on an extension",
        "extension",
        "comment on extension citext is 'other'",
    ),
    Change::new(
        "grant on an extension's object",
        "extension",
        "do $$ declare f text := (select oid::regprocedure from pg_proc where proname = \
         'citextin'); begin execute format('grant execute on function %s to ebbtide_reader', \
         f); end $$",
    ),
    Change::new(
        "grant on a system function",
        "",
        "grant execute on function pg_catalog.pg_ls_dir(text) to ebbtide_reader",
    ),
    Change::new(
        "revoke on a system function",
        "",
        "revoke execute on function pg_catalog.now() from public",
    ),
    Change::new(
        "grant on a system table",
        "",
        "grant select on pg_catalog.pg_authid to ebbtide_reader",
    ),
    Change::new(
        "grant on a column of a system table",
        "",
        "grant select (subconninfo) on pg_catalog.pg_subscription to ebbtide_reader",
    ),
    Change::new(
        "grant on the system's language",
        "",
        "revoke usage on language plpgsql from public",
    ),
    Change::new(
        "grant on a system type",
        "",
        "revoke usage on type pg_catalog.int4 from public",
    ),
    Change::new(
        "publication of more kinds",
        "publication",
        "alter publication pub{n} set (publish = 'insert')",
    ),
    Change::new(
        "publication via the root",
        "publication",
        "alter publication pub{n} set (publish_via_partition_root = false)",
    ),
    Change::new(
        "columns of a publication",
        "publication",
        "alter publication pub{n} set table {s}.pub{n} (a, b) where (a > 3)",
    )
    .since(15),
    Change::new(
        "row filter of a publication",
        "publication",
        "alter publication pub{n} set table {s}.pub{n} (a) where (a > 77)",
    )
    .since(15),
    Change::new(
        "table of a publication",
        "publication",
        "create table {s}.heard{n} (a int primary key); alter publication pub{n} add table \
         {s}.heard{n}",
    ),
    Change::new(
        "schema of a publication",
        "publication",
        "alter publication pubs{n} add tables in schema app, other",
    )
    .since(15),
    Change::new(
        "generated columns of a publication",
        "publication of all",
        "alter publication all{n} set (publish_generated_columns = stored)",
    )
    .since(18),
    Change::new(
        "owner of a publication",
        "publication of all",
        "alter publication all{n} owner to current_user",
    )
    .without_difference(),
    Change::new(
        "publication dropped",
        "publication",
        "drop publication pubs{n}",
    ),
    Change::new(
        "comment on a publication",
        "publication",
        "comment on publication pub{n} is 'p'",
    ),
    Change::new(
        "connection of a subscription",
        "subscription",
        "alter subscription sub{n} connection 'host=127.0.0.1 dbname=y'",
    ),
    Change::new(
        "password of a subscription",
        "subscription with a slot",
        "alter subscription subs{n} connection 'dbname=x password=other'",
    ),
    Change::new(
        "publications of a subscription",
        "subscription",
        "alter subscription sub{n} set publication c with (refresh = false)",
    ),
    Change::new(
        "options of a subscription",
        "subscription",
        "alter subscription sub{n} set (binary = false)",
    ),
    Change::new(
        "streaming of a subscription",
        "subscription",
        "alter subscription sub{n} set (streaming = true)",
    ),
    Change::new(
        "synchronous commit of a subscription",
        "subscription",
        "alter subscription sub{n} set (synchronous_commit = 'local')",
    ),
    Change::new(
        "slot of a subscription",
        "subscription with a slot",
        "alter subscription subs{n} set (slot_name = 'other_{n}')",
    ),
    Change::new(
        "origin of a subscription",
        "subscription",
        "alter subscription sub{n} set (origin = none)",
    )
    .since(16),
    Change::new(
        "comment on a subscription",
        "subscription",
        "comment on subscription sub{n} is 's'",
    ),
    Change::new(
        "subscription renamed",
        "subscription",
        "alter subscription sub{n} rename to other{n}",
    ),
    Change::new(
        "event trigger enabled",
        "event trigger",
        "alter event trigger ev{n} enable",
    ),
    Change::new(
        "event trigger for replicas",
        "event trigger",
        "alter event trigger ev{n} enable replica",
    ),
    Change::new(
        "event trigger with other tags",
        "event trigger",
        "drop event trigger ev{n}; create event trigger ev{n} on ddl_command_end when tag \
         in ('CREATE VIEW') execute function {s}.evf{n}(); alter event trigger ev{n} disable",
    ),
    Change::new(
        "event trigger on another event",
        "event trigger",
        "drop event trigger ev{n}; create event trigger ev{n} on sql_drop when tag in \
         ('DROP TABLE') execute function {s}.evf{n}(); alter event trigger ev{n} disable",
    ),
    Change::new(
        "comment on an event trigger",
        "event trigger",
        "comment on event trigger ev{n} is 'e'",
    ),
    Change::new(
        "options of a wrapper",
        "foreign data",
        "alter foreign data wrapper fdw{n} options (set debug 'false')",
    ),
    Change::new(
        "owner of a wrapper",
        "",
        "create foreign data wrapper own{n}; grant usage on foreign data wrapper own{n} to \
         ebbtide_reader",
    ),
    Change::new(
        "comment on a wrapper",
        "foreign data",
        "comment on foreign data wrapper fdw{n} is 'w'",
    ),
    Change::new(
        "options of a server",
        "foreign data",
        "alter server srv{n} options (set host 'other')",
    ),
    Change::new(
        "version of a server",
        "foreign data",
        "alter server srv{n} version '77'",
    ),
    Change::new(
        "owner of a server",
        "foreign data",
        "grant usage on foreign data wrapper fdw{n} to ebbtide_reader; alter server srv{n} \
         owner to ebbtide_reader",
    ),
    Change::new(
        "grant on a server",
        "foreign data",
        "revoke usage on foreign server srv{n} from ebbtide_reader",
    ),
    Change::new(
        "comment on a server",
        "foreign data",
        "comment on server srv{n} is 's'",
    ),
    Change::new(
        "password of a user mapping",
        "foreign data",
        "alter user mapping for public server srv{n} options (set password 'other')",
    ),
    Change::new(
        "user of a user mapping",
        "foreign data",
        "alter user mapping for public server srv{n} options (set \"user\" 'other')",
    ),
    Change::new(
        "user mapping dropped",
        "foreign data",
        "drop user mapping for ebbtide_reader server srv{n}",
    ),
    Change::new(
        "user mapping with options",
        "foreign data",
        "alter user mapping for ebbtide_reader server srv{n} options (\"user\" 'r')",
    ),
    Change::new(
        "options of a foreign table",
        "foreign data",
        "alter foreign table {s}.ft{n} options (set table_name 'other')",
    ),
    Change::new(
        "options of a foreign column",
        "foreign data",
        "alter foreign table {s}.ft{n} alter id options (set column_name 'y')",
    ),
    Change::new(
        "column of a foreign table",
        "foreign data",
        "alter foreign table {s}.ft{n} add column more int",
    ),
    Change::new(
        "comment on a foreign table",
        "foreign data",
        "comment on foreign table {s}.ft{n} is 'f'",
    ),
    Change::new(
        "default privileges",
        "",
        "alter default privileges grant select on tables to ebbtide_owner",
    ),
    Change::new(
        "default privileges in a schema",
        "",
        "alter default privileges in schema other grant execute on functions to \
         ebbtide_reader",
    ),
    Change::new(
        "default privileges of another role",
        "",
        "alter default privileges for role ebbtide_owner revoke usage on types from public",
    ),
    Change::new(
        "default privileges on large objects",
        "",
        "alter default privileges grant select on large objects to ebbtide_reader",
    )
    .since(18),
    Change::new(
        "default privileges removed",
        "default privileges",
        "alter default privileges in schema {s} revoke select on tables from ebbtide_reader",
    ),
    Change::new(
        "setting of the database",
        "",
        "alter database {d} set work_mem = '11MB'",
    ),
    Change::new(
        "setting of a role in the database",
        "",
        "alter role ebbtide_reader in database {d} set statement_timeout = '77s'",
    ),
    Change::new(
        "setting reset",
        "database settings",
        "alter database {d} reset work_mem",
    ),
    Change::new(
        "owner of the database",
        "",
        "alter database {d} owner to ebbtide_reader",
    ),
    Change::new(
        "grant on the database",
        "",
        "grant create on database {d} to ebbtide_owner",
    ),
    Change::new(
        "revoke on the database",
        "",
        "revoke temporary on database {d} from public",
    ),
    Change::new(
        "comment on the database",
        "",
        "comment on database {d} is 'other'",
    ),
    Change::new(
        "connection limit",
        "",
        "alter database {d} connection limit 77",
    ),
    Change::new("template", "", "alter database {d} is_template true"),
];
