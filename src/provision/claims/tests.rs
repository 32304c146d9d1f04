//! What remains of the claims after statements of each kind.

use super::*;

fn claims(text: &str) -> Vec<String> {
    claimed_tables(&[Script::new("x.sql", text)], DefaultSchema::Public)
        .into_keys()
        .collect()
}

/// Claims after creating `a`, `b` and `s.c` and then running `text`.
fn claims_after(text: &str) -> String {
    claims(&format!(
        "create table a (); create table b (); create table s.c (); {text}"
    ))
    .join(" ")
}

#[test]
fn every_permanent_table_is_claimed_under_its_folded_name() {
    let text = r#"
        CREATE TABLE Users (id int); create unlogged table if not exists App."Log" ();
        create table "q""x" ();
        create table if (id int); create table p partition of parent default;
        create table copy as select 1;
        create table db.s.deep ();"#;
    assert_eq!(
        claims(text),
        ["app.Log", "copy", "if", "p", "q\"x", "s.deep", "users"]
    );
    assert_eq!(
        claims(&format!("create table {} ()", "é".repeat(40))),
        ["é".repeat(31)]
    );
}

#[test]
fn temporary_tables_and_other_objects_are_not_claimed() {
    let temporary =
        "create temp table t (); create temporary table t (); create global temp table t ();
        create local temporary table t (); create table pg_temp.t ()";
    let other = "create view t as select 1; create index t on u (a); create table \"a.b\" ();
        create table;
        -- create table t ();
        do $$ create table t () $$";
    assert_eq!(
        [temporary, other, ""].map(claims),
        [const { Vec::<String>::new() }; 3]
    );
}

#[test]
fn a_claim_has_the_line_of_the_statement_that_named_the_table() {
    let first = Script::new(
        "1.sql",
        "-- users\n\ncreate table users ();\ncreate table users2 ();",
    );
    let second = Script::new(
        "2.sql",
        "create table if not exists users ();\nalter table users2 rename to u2;",
    );
    let found = claimed_tables([&first, &second], DefaultSchema::Public);
    let claim = |script: &str, line| Claim {
        script: script.to_owned(),
        line,
        any_schema: false,
    };
    let expected = [
        ("u2".to_owned(), claim("2.sql", 2)),
        ("users".to_owned(), claim("1.sql", 3)),
    ];
    assert_eq!(found, BTreeMap::from(expected));
}

#[test]
fn a_drop_removes_the_claim() {
    assert_eq!(claims_after("drop table if exists A, s.c cascade"), "b");
    assert_eq!(claims_after("drop table \"A\", public.b"), "a s.c");
    assert_eq!(claims_after("drop table c"), "a b");
    assert_eq!(
        claims_after("drop table \"x.y\", b"),
        "a s.c",
        "a list that cannot be read"
    );
    assert_eq!(claims_after("drop schema if exists S cascade"), "a b");
    assert_eq!(claims_after("drop schema x, public"), "s.c");
    assert_eq!(claims_after("alter schema s rename to t"), "a b");
    assert_eq!(claims_after("drop owned by me"), "");
    assert_eq!(claims_after("drop table a; create table a ()"), "a b s.c");
}

#[test]
fn a_statement_that_drops_no_table_removes_no_claim() {
    for text in [
        "drop index a_idx; drop trigger t on a; drop view if exists v",
        "alter table a drop column b, drop constraint c",
        "alter table a rename column b to c; alter table a rename b to d; alter table a rename \
         constraint b to c",
        "alter table a set (fillfactor = 70); alter schema s owner to me",
        "insert into a values ('drop', 'b'); comment on table a is 'a gumdrop, dropped'",
        "do $$ begin drop table aa; update a_b set x = 1; end $$",
        "-- drop table a",
    ] {
        assert_eq!(claims_after(text), "a b s.c", "{text}");
    }
}

#[test]
fn renamed_and_moved_tables_are_claimed_under_their_new_name() {
    assert_eq!(
        claims_after("alter table if exists only a * rename to \"Z\""),
        "Z b s.c"
    );
    assert_eq!(
        claims_after("alter table s.c rename to d; alter table b set schema S"),
        "a s.b s.d"
    );
    assert_eq!(
        claims_after("drop table a; alter table b rename to a"),
        "a s.c"
    );
    assert_eq!(claims_after("alter table x rename to y"), "a b s.c");
    assert_eq!(
        claims_after("alter table public.a rename to y"),
        "b s.c",
        "public.a may be the table a, or another one"
    );
}

#[test]
fn partitions_and_child_tables_are_dropped_with_their_parent() {
    let parts = "create table a1 partition of a default; create table a2 partition of a1 default;";
    assert_eq!(claims_after(&format!("{parts} drop table a")), "b s.c");
    assert_eq!(
        claims_after(&format!("{parts} alter table a rename to z; drop table z")),
        "b s.c"
    );
    assert_eq!(
        claims_after("create table d (x int) inherits (b, s.c); drop table s.c cascade"),
        "a b"
    );
    assert_eq!(
        claims_after("alter table a attach partition b default; drop table a"),
        "s.c"
    );
    assert_eq!(
        claims_after("alter table a inherit s.c; drop table s.c cascade"),
        "b"
    );
    let swaps = "alter table a rename to z; alter table z rename to a;".repeat(40);
    assert_eq!(
        claims_after(&format!("{parts} {swaps} drop table a")),
        "b s.c"
    );
}

#[test]
fn text_that_may_drop_a_table_and_mentions_it_removes_its_claim() {
    assert_eq!(
        claims_after("do $$ begin execute 'DROP TABLE A'; end $$"),
        "b s.c"
    );
    assert_eq!(
        claims_after("do $$ begin drop schema if exists s cascade; end $$"),
        "a b"
    );
    assert_eq!(claims_after("call rename_table('a', 'z')"), "b s.c");
    assert_eq!(claims_after("select drop_tables('{b,c}')"), "a");
    assert_eq!(claims_after("alter table 'b' rename to z"), "a s.c");
}

#[test]
fn a_function_may_drop_tables_that_are_created_after_it() {
    let text = "create function f() returns void language sql as $$ drop table a $$; \
                create table a ();";
    assert!(claims(&format!("{text} select f();")).is_empty());
}

#[test]
fn only_a_rollback_to_a_savepoint_removes_the_claims_of_its_script() {
    let first = Script::new("1.sql", "create table a (); rollback; abort;");
    let second = Script::new(
        "2.sql",
        "savepoint s; create table b (); rollback work to s; create table c ();",
    );
    assert_eq!(
        claimed_tables([&first, &second], DefaultSchema::Public)
            .into_keys()
            .collect::<Vec<_>>(),
        ["a", "c"]
    );
}

#[test]
fn after_a_change_of_search_path_a_table_may_be_in_any_schema() {
    for change in [
        "set search_path = app",
        "SET LOCAL \"search_path\" TO app",
        "select pg_catalog.set_config('search_path', '', false)",
        "set schema 'app'",
        "set local schema 'app'",
        "alter role me set Search_Path = app",
        "do $$ begin set search_path = app; end $$",
    ] {
        let first = Script::new(
            "1.sql",
            format!("create table a (); {change}; create table s.b ();"),
        );
        let second = Script::new("2.sql", "create table c (); alter table c rename to d;");
        let found: Vec<_> = claimed_tables([&first, &second], DefaultSchema::Public)
            .into_iter()
            .map(|(name, claim)| (name, claim.any_schema))
            .collect();
        let expected =
            [("a", false), ("d", true), ("s.b", false)].map(|(name, any)| (name.to_owned(), any));
        assert_eq!(found, expected, "{change}");
    }
    assert!(claims("set search_path = app; create table a (); drop schema app cascade").is_empty());
}

#[test]
fn a_drop_without_the_name_of_the_table_removes_all_claims_so_far() {
    let dynamic = "execute format('drop table %I', t)";
    let define = format!(
        "create function f(t text) returns void language plpgsql as $$ begin {dynamic}; end $$;"
    );
    for text in [
        format!("do $$ begin {dynamic}; end $$;"),
        format!("{define} select app.f('x');"),
        format!("{define} select f(relname) from pg_class;"),
        format!("{define} do $$ begin perform f('x'); end $$;"),
        format!("{define} create procedure p() language sql as $$ select f('x') $$; call p();"),
        "select dblink_exec('c', 'drop table ' || x);".to_owned(),
    ] {
        assert_eq!(claims_after(&text), "", "{text}");
        let later = format!("{text} create table d ()");
        assert_eq!(claims_after(&later), "d", "{text}");
    }
    let trigger = format!(
        "{define} create event trigger e on ddl_command_end execute function f(); create table d ()"
    );
    assert_eq!(
        claims_after(&trigger),
        "",
        "an event trigger runs at any later time"
    );
    for text in [
        define.clone(),
        format!("{define} comment on function f is 'f'; drop function f;"),
        format!("{define} grant execute on function f to public;"),
        format!("{define} alter function f owner to me;"),
    ] {
        assert_eq!(claims_after(&text), "a b s.c", "{text}");
    }
}

#[test]
fn tables_are_dropped_with_other_objects_that_they_are_made_with() {
    for (create, drop) in [
        ("create table t of ty", "drop type ty cascade"),
        (
            "create table t (x int) using am",
            "drop access method am cascade",
        ),
        (
            "create table t (x int) partition by range (f(x))",
            "drop function f cascade",
        ),
        (
            "create table t (x dm) partition by list (x)",
            "drop domain if exists dm cascade",
        ),
        (
            "create table t (x text) partition by list (x collate co)",
            "drop collation co cascade",
        ),
        (
            "create table t (x int)",
            "alter extension e add table t; drop extension e",
        ),
        (
            "create table q.p (x int); create table t () inherits (q.p)",
            "drop schema q cascade",
        ),
    ] {
        assert_eq!(
            claims_after(&format!("{create}; {drop}")),
            "a b s.c",
            "{create}"
        );
    }
    for kept in [
        "create table t (x int default f()); drop function f cascade",
        "create table t (x en); drop type en cascade",
    ] {
        assert_eq!(claims_after(kept), "a b s.c t", "{kept}");
    }
}

#[test]
fn a_table_that_leaves_its_parent_is_not_dropped_with_it() {
    let parts = "create table p partition of a default; create table c () inherits (b);";
    assert_eq!(
        claims_after(&format!(
            "{parts} alter table a detach partition p; alter table c no inherit b; drop table a, b"
        )),
        "c p s.c"
    );
}

#[test]
fn a_query_may_create_a_table() {
    assert_eq!(
        claims(
            "select 1 as x into t; with x as (select 1) select * into unlogged table s.u from x"
        ),
        ["s.u", "t"]
    );
    let none = "select 1 into temp t; with x as (select 1) insert into t select * from x; \
                select (select 1) from t; select extract(day from x) from t";
    assert_eq!(claims(none), [""; 0]);
}

#[test]
fn a_table_in_the_temporary_schema_is_not_claimed() {
    for path in [
        "set search_path = pg_temp, public",
        "set search_path to 'pg_temp'",
        "select set_config('search_path', 'pg_temp', false)",
    ] {
        let text = format!("{path}; create table t (); create table s.u (); ");
        assert_eq!(claims(&text), ["s.u"], "{path}");
        let back = format!("{text} set search_path = public, pg_temp; create table t ();");
        assert_eq!(claims(&back), ["s.u", "t"], "{path}");
    }
}

#[test]
fn a_moved_table_or_a_call_with_its_name_removes_the_claim() {
    for text in [
        "do $$ begin alter table a set schema app; end $$",
        "select DropGeometryTable('a')",
        "select renametable('a', 'z')",
    ] {
        assert_eq!(claims_after(text), "b s.c", "{text}");
    }
}

#[test]
fn with_another_default_schema_a_table_may_be_in_any() {
    let script = Script::new("1.sql", "create table a (); create table s.b ();");
    let found = claimed_tables([&script], DefaultSchema::Other);
    let any: Vec<_> = found.values().map(|claim| claim.any_schema).collect();
    assert_eq!(any, [true, false]);
}
