//! The directories: small files with the peculiarities of real ones.

/// A directory's files, the versions in the order in which they run, and the tables afterwards.
pub struct Case<'a> {
    pub files: &'a [(&'a str, &'a str)],
    pub versions: &'a [&'a str],
    pub tables: &'a [&'a str],
    pub not_applied: &'a [&'a str],
}

pub const CASES: &[Case<'static>] = &[
    // sqlx: a file with its own transaction, and a version with leading zeros.
    Case {
        files: &[
            ("0009_a.sql", "begin;\ncreate table a (id int);\ncommit;\n"),
            ("10_b.sql", "create table b (id int);"),
            ("README.md", "how to migrate"),
        ],
        versions: &["9", "10"],
        tables: &["a", "b"],
        not_applied: &[],
    },
    // diesel: the set-up that its command line creates, and a version that is one digit longer.
    Case {
        files: &[
            (
                "00000000000000_diesel_initial_setup/up.sql",
                "create table a (id int);",
            ),
            (
                "00000000000000_diesel_initial_setup/down.sql",
                "drop table a;",
            ),
            ("000000000000000_first/up.sql", "alter table a rename to b;"),
            ("2019-02-26-002946_user/up.sql", "create table c (id int);"),
            ("2019-02-26-002946_user/notes.txt", "a note"),
            ("20190227000000_unfinished/down.sql", "drop table c;"),
        ],
        versions: &["00000000000000", "000000000000000", "20190226002946"],
        tables: &["b", "c"],
        not_applied: &["20190227000000_unfinished/"],
    },
    // refinery: versions with ten and with leading zeros, in subdirectories.
    Case {
        files: &[
            ("V10__b.sql", "alter table a rename to b;"),
            ("2020/V02__a.sql", "create table a (id int);"),
            ("mod.rs", "refinery::embed_migrations!();"),
        ],
        versions: &["2", "10"],
        tables: &["b"],
        not_applied: &[],
    },
    // dbmate: a header of comments, options on both lines, and a search path for one file.
    Case {
        files: &[
            (
                "20240101000000_a.sql",
                "-- Copyright\n--\n\n-- migrate:up transaction:false\ncreate schema app;\n\
                 -- migrate:down transaction:false\ndrop schema app;\n",
            ),
            (
                "20240102000000-b.sql",
                "-- migrate:up\n\n-- the table\ncreate table app.b (id int);\n\n-- migrate:down\n",
            ),
        ],
        versions: &["20240101000000", "20240102000000"],
        tables: &["app.b"],
        not_applied: &[],
    },
    // goose: the template's own statements, blocks beside plain statements, an option before Up,
    // numbers of several widths, and no way down.
    Case {
        files: &[
            (
                "0009_a.sql",
                "-- +goose Up\n-- +goose StatementBegin\nselect 'up SQL query';\n\
                 -- +goose StatementEnd\n\n    create table a (\n        id int\n    );\n\
                 -- +goose Down\n    drop table a;\n-- +goose StatementBegin\n\
                 select 'down SQL query';\n-- +goose StatementEnd\n",
            ),
            (
                "00010_b.sql",
                "-- +goose NO TRANSACTION\n-- +goose Up\n-- +goose StatementBegin\n\
                 create index concurrently a_id on a (id);\n-- +goose StatementEnd\n\
                 -- +goose StatementBegin\ncreate index concurrently a_id2 on a (id);\n\
                 -- +goose StatementEnd\n",
            ),
            ("embed.go", "package migrations"),
        ],
        versions: &["9", "10"],
        tables: &["a"],
        not_applied: &[],
    },
    // sql-migrate: a header of another kind of comment, and one number for several files.
    Case {
        files: &[
            (
                "5-a-1.sql",
                "/* Copyright\n * ..\n */\n-- +migrate Up\ncreate table a (id int);\n",
            ),
            (
                "5-a-2.sql",
                "-- +migrate Up\nalter table a rename to b;\n\n-- +migrate Down\n",
            ),
            (
                "5-a.sql",
                "\n-- +migrate Up notransaction\nset lock_timeout = '2s';\n\
                 alter table b rename to c;\n\n-- +migrate Down\nalter table c rename to b;\n",
            ),
        ],
        versions: &["5-a-1.sql", "5-a-2.sql", "5-a.sql"],
        tables: &["c"],
        not_applied: &[],
    },
    // Plain SQL: a time with dots as the name, and a directory with the ways down.
    Case {
        files: &[
            ("2021.08.16T17.02.53.a.sql", "create table a (id int);"),
            ("2021.08.18T09.31.24.b.sql", "alter table a rename to b;"),
            (
                "down/2021.08.18T09.31.24.b.sql",
                "alter table b rename to a;",
            ),
        ],
        versions: &["2021.08.16T17.02.53.a.sql", "2021.08.18T09.31.24.b.sql"],
        tables: &["b"],
        not_applied: &["down/"],
    },
    // golang-migrate: a point in the name, and a way down without a way up.
    Case {
        files: &[
            ("000056_channels_v6.0.up.sql", "create table a (id int);"),
            ("000056_channels_v6.0.down.sql", "drop table a;"),
            ("000057_roles.down.sql", "drop table a;"),
        ],
        versions: &["56"],
        tables: &["a"],
        not_applied: &[],
    },
    // sqlx: headers with words of other tools, and a way down that is only a comment.
    Case {
        files: &[
            ("1_a.up.sql", "-- Up\ncreate table a (id int);"),
            ("1_a.down.sql", "-- Down migration\ndrop table a;"),
            (
                "2_b.sql",
                "alter table a rename to b;\n\n-- Down\n-- alter table b rename to a;\n",
            ),
        ],
        versions: &["1", "2"],
        tables: &["b"],
        not_applied: &[],
    },
    // refinery: pinned checksums, three underscores, a block that looks a table up.
    Case {
        files: &[
            (
                "V1__notes.sql",
                "create table notes (path text, sign text default '¤ -- ;');",
            ),
            (
                "V02___path_order.sql",
                "do $$ begin\n  if to_regclass('notes') is not null then\n    alter table notes \
                 alter column path type text collate \"C\";\n  end if;\nend $$\n-- done?",
            ),
            ("checksums.lock", "V1__notes = 1\n"),
        ],
        versions: &["1", "2"],
        tables: &["notes"],
        not_applied: &[],
    },
    // refinery: a call with named arguments, and a comment after it.
    Case {
        files: &[
            (
                "V1__seen.sql",
                "create table seen (at timestamptz);\ncreate index on seen (at);",
            ),
            (
                "V2__policy.sql",
                "create procedure keep(name text, after interval) language plpgsql as \
                 $$ begin end $$;\ncall keep('seen', after => interval '1 hour'); -- as in V1\n",
            ),
        ],
        versions: &["1", "2"],
        tables: &["seen"],
        not_applied: &[],
    },
    // sqlx: `.sql` twice in a name, a way up of a comment, a table in place of a view.
    Case {
        files: &[
            (
                "1_status.sql.up.sql",
                "create table builds (id int);\ncreate view status as select id from builds;",
            ),
            ("1_status.sql.down.sql", "drop view status;"),
            (
                "2_check.up.sql",
                "-- no way up, only the way down does something\n",
            ),
            ("2_check.down.sql", "delete from builds;"),
            (
                "3_status.up.sql",
                "drop view status;\ncreate table status (id int);\n\
                 drop extension if exists fuzzystrmatch;",
            ),
        ],
        versions: &["1", "2", "3"],
        tables: &["builds", "status"],
        not_applied: &[],
    },
    // sqlx: dollars in strings, SQL in dollar quotes in a block, a view with the old name.
    Case {
        files: &[
            (
                "1_first.up.sql",
                "create table secret (hash text default '$x2id$v=1$m');\n\
                 create table queue (id int);",
            ),
            (
                "2_policies.up.sql",
                "do $do$ declare t text; begin\n  foreach t in array array['queue', 'secret'] loop\n    \
                 execute format($$ drop policy if exists p on %1$I; \
                 create policy p on %1$I using (true); $$, t);\n  end loop;\n\
                 exception when others then raise warning '✅ %', sqlerrm;\nend $do$",
            ),
            (
                "3_rename.up.sql",
                "alter table if exists queue rename to queue_2;\n\
                 create view queue as select * from queue_2;",
            ),
            (
                "3_rename.down.sql",
                "drop view queue;\nalter table queue_2 rename to queue;",
            ),
        ],
        versions: &["1", "2", "3"],
        tables: &["queue_2", "secret"],
        not_applied: &[],
    },
    // sqlx: an empty statement, three dashes, a block without a semicolon.
    Case {
        files: &[
            (
                "0001_more-data.sql",
                "create table loaders (id serial primary key, name text);;\n--- three dashes\n\
                 select setval('loaders_id_seq', 4, false);",
            ),
            (
                "2_clean-up.sql",
                "do language plpgsql $$\ndeclare new_id int;\nbegin\n  insert into loaders (name) \
                 values ('a -- b;') returning id into new_id;\n  alter table loaders drop constraint \
                 loaders_pkey;\nend;\n$$\n",
            ),
        ],
        versions: &["1", "2"],
        tables: &["loaders"],
        not_applied: &[],
    },
    // sqlx: a function that builds a drop, one with its own search path, and a loop.
    Case {
        files: &[
            (
                "1_setup.sql",
                "create schema if not exists jobs;\ncreate table jobs.queues (name text);\n\
                 create function jobs.drop_queue(q text) returns void language plpgsql as $$ begin \
                 execute format('drop table if exists jobs.%I cascade', 't_' || q); end $$;",
            ),
            (
                "2_loop.sql",
                "create function jobs.one() returns int language sql set search_path = jobs, public \
                 as 'select 1';\ndo $$ declare q text; begin for q in select name from jobs.queues \
                 loop perform jobs.drop_queue(q); end loop; end $$;",
            ),
        ],
        versions: &["1", "2"],
        tables: &["jobs.queues"],
        not_applied: &[],
    },
    // diesel: a version with an offset, a setting with a comment, no way down, no last semicolon.
    Case {
        files: &[
            ("2025-09-19-061700_a/up.sql", "create table a (id int)"),
            (
                "2025-09-19-061700-0000_b-c/up.sql",
                "-- note\ncreate index concurrently a_id on a (id);\n",
            ),
            (
                "2025-09-19-061700-0000_b-c/metadata.toml",
                "# alone\nrun_in_transaction=false\n",
            ),
        ],
        versions: &["20250919061700", "202509190617000000"],
        tables: &["a"],
        not_applied: &[],
    },
    // diesel: a temporary table and renames in one file.
    Case {
        files: &[
            (
                "2021-03-09-171136_a/up.sql",
                "create table a (id int);\n\
                 create function f() returns int language sql as 'select 1';\n",
            ),
            (
                "2021-03-09-171137_b/up.sql",
                "create temporary table t as select * from a;\n\
                 alter table a rename to comment;\ndrop function f cascade;\n",
            ),
        ],
        versions: &["20210309171136", "20210309171137"],
        tables: &["comment"],
        not_applied: &[],
    },
    // dbmate: a longer number is smaller; another tool's ledger; no line feed at the end.
    Case {
        files: &[
            (
                "10000000000000_a.sql",
                "-- migrate:up\n\ncreate schema auth;\n\
                 create table auth.schema_migrations (version varchar(255) primary key);\n\
                 insert into auth.schema_migrations values ('7');\n\n-- migrate:down\n",
            ),
            (
                "100000022-b.sql",
                "-- migrate:up\ncreate table auth.users (id int);\n-- migrate:down",
            ),
        ],
        versions: &["10000000000000", "100000022"],
        tables: &["auth.users"],
        not_applied: &[],
    },
    // dbmate: the head of a dump empties the search path.
    Case {
        files: &[
            (
                "0001__setup.sql",
                "-- migrate:up\nset\n  lock_timeout = 0;\n\nselect\n  \
                 pg_catalog.set_config ('search_path', '', false);\n\n-- migrate:down\n",
            ),
            (
                "0002__a.sql",
                "-- migrate:up\ncreate table\n  public.a (id int);\n-- migrate:down",
            ),
        ],
        versions: &["0001", "0002"],
        tables: &["a"],
        not_applied: &[],
    },
    // dbmate: two endings, a block comment after the line, a function with its own path.
    Case {
        files: &[
            (
                "20240101000000-a.sql.sql",
                "-- migrate:up\n/** makes\n * one\n */\ncreate\nor replace function f() returns int \
                 language sql\nset search_path = public\nas $$ select 1 $$\n\n-- migrate:down\n\
                 drop function f;",
            ),
            (
                "20240102000000_b.sql",
                "-- migrate:up\ncreate table if not exists public.b (id int default f());\n\
                 -- migrate:down\ndrop table b;",
            ),
        ],
        versions: &["20240101000000", "20240102000000"],
        tables: &["b"],
        not_applied: &[],
    },
    // goose: notes before the lines, blanks after them, notes after semicolons.
    Case {
        files: &[
            (
                "20230117145140_a.sql",
                "-- +goose Up\ncreate table a (id int);\n\ninsert into a values (1);\n\n\
                 -- +goose Down\ndrop table a;\n",
            ),
            (
                "20250912101325_b.sql",
                "-- Why\n-- +goose NO TRANSACTION \n\n-- What\n-- +goose Up \n\n-- one\n\
                 create index concurrently a_id on a (id); -- fast\n\n-- Undo\n-- +goose Down \n\n\
                 drop index concurrently a_id; -- slow",
            ),
        ],
        versions: &["20230117145140", "20250912101325"],
        tables: &["a"],
        not_applied: &[],
    },
    // goose: several statements in a block, a path that stays, a block without a semicolon.
    Case {
        files: &[
            (
                "00001_a.sql",
                "-- +goose Up\n-- +goose StatementBegin\nrevoke create on schema public from public;\n\
                 create schema if not exists app;\ncreate table app.a (id int);\n\
                 -- +goose StatementEnd\n",
            ),
            (
                "20220101000000_b.sql",
                "-- +goose Up\n-- +goose StatementBegin\nset search_path to app, public;\n\n\
                 select id into a_old from app.a;\ndrop table a_old;\n\n-- +goose StatementEnd\n\n\
                 -- +goose Down\n",
            ),
            (
                "20220101000001_c.sql",
                "-- +goose Up\n-- +goose StatementBegin\n\
                 create function f() returns int language sql as $$\nselect 1;\n$$\n\
                 -- +goose StatementEnd\n",
            ),
        ],
        versions: &["1", "20220101000000", "20220101000001"],
        tables: &["app.a"],
        not_applied: &[],
    },
    // sql-migrate: the file ends its transaction and begins another one.
    Case {
        files: &[
            (
                "1_a.sql",
                "-- +migrate Up\ncreate table a (id int);\n\nCOMMIT;\n-- outside\n\
                 create index concurrently a_id on a (id);\nBEGIN;\n\n-- +migrate Down\n",
            ),
            (
                "2-b.sql",
                "-- +migrate Up\nalter table a add b int;\nCOMMIT;\nBEGIN;\n\nupdate a set b = 1;\n\
                 -- +migrate Down\n",
            ),
        ],
        versions: &["1_a.sql", "2-b.sql"],
        tables: &["a"],
        not_applied: &[],
    },
    // sql-migrate: the head of a dump, two semicolons, one number twice, an unknown word.
    Case {
        files: &[
            (
                "2_b.sql",
                "-- +migrate Up\n--\n-- A dump\n--\n\nset search_path = public, pg_catalog;\n\n--\n\
                 -- Name: b\n--\n\ncreate table b (id int);;\n\n-- +migrate Down\ndrop table b;",
            ),
            (
                "10_c.sql",
                "-- +migrate Up\n-- +migrate Note\n\ncreate table c (\n    like b\n    \
                 including all\n);\n-- +migrate Down\n",
            ),
            ("10_d.sql", "-- +migrate Up\ndrop table b cascade;\n"),
        ],
        versions: &["2_b.sql", "10_c.sql", "10_d.sql"],
        tables: &["c"],
        not_applied: &[],
    },
    // golang-migrate: three dashes, no last semicolon, other files and directories.
    Case {
        files: &[
            ("000001_base.up.sql", "create table a (id int);\n"),
            ("000001_base.down.sql", "drop table a;"),
            ("000003_x.up.sql", "--- note\nupdate a set id = 1\n"),
            ("migrate.go", "package migrations"),
            (
                "testdata/fixtures/000001_a.up.sql",
                "insert into a values (1);",
            ),
        ],
        versions: &["1", "3"],
        tables: &["a"],
        not_applied: &["testdata/"],
    },
    // Plain SQL: versions with dots, before and after, a value that a body uses.
    Case {
        files: &[
            (
                "02.06.00_01_a.sql",
                "create type s as enum ('todo');\ncreate table a (s s);",
            ),
            (
                "03.00.00_01_pre_b.sql",
                "alter type s add value 'done';\ncreate function f() returns void language plpgsql as \
                 $$ begin update a set s = 'done'::s; end $$;",
            ),
            ("03.00.00_50_post_c.sql", "alter table a rename to b;"),
        ],
        versions: &[
            "02.06.00_01_a.sql",
            "03.00.00_01_pre_b.sql",
            "03.00.00_50_post_c.sql",
        ],
        tables: &["b"],
        not_applied: &[],
    },
];
