use std::path::Path;

use proc_macro2::{Delimiter, Group, TokenTree};
use quote::quote;

use super::*;

fn read(options: &str) -> (Args, Vec<String>) {
    read_tokens(options.parse().expect("the test's own text is Rust"))
}

fn read_tokens(options: TokenStream) -> (Args, Vec<String>) {
    let mut errors = Errors::default();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let args = parse(options, Some(package), &mut errors);
    args.runtime.check(&mut errors);
    (args, errors.texts())
}

fn good(options: &str) -> Args {
    let (args, errors) = read(options);
    assert!(errors.is_empty(), "{options}: {errors:?}");
    args
}

fn said(options: &str) -> Vec<String> {
    read(options).1
}

fn files(options: &str) -> Vec<String> {
    good(options).fixtures.iter().map(LitStr::value).collect()
}

#[test]
fn no_options_are_no_options() {
    let args = good("");
    assert!(
        args.fixtures.is_empty()
            && args.expect.is_empty()
            && args.krate.is_none()
            && args.migrations.is_none()
    );
    assert!(args.pool.is_none() && args.keep.is_none() && args.runtime.written.is_empty());
    assert!(args.isolation_level.is_none() && args.savepoints.is_none());
}

#[test]
fn fixtures_keep_their_order_and_name_files() {
    assert_eq!(
        files(r#"fixtures("a", "b.sql", "c.txt",)"#),
        ["fixtures/a.sql", "fixtures/b.sql", "fixtures/c.txt"]
    );
    assert_eq!(
        files(r#"fixtures("../x.sql", "./y", "d/z.sql")"#),
        ["../x.sql", "./y", "d/z.sql"]
    );
    assert_eq!(
        files(r#"fixtures(path = "../d/", scripts("a", "b/c"))"#),
        ["../d/a.sql", "../d/b/c.sql"]
    );
    assert_eq!(files(r#"fixtures(scripts("a"), path = "d")"#), ["d/a.sql"]);
    assert_eq!(
        files(r#"fixtures("b"), keep, fixtures("./a.sql"), fixtures()"#),
        ["fixtures/b.sql", "./a.sql"]
    );
}

#[test]
fn fixtures_say_what_they_want() {
    assert_eq!(
        said("fixtures"),
        ["`fixtures` wants a list: `fixtures(...)`"]
    );
    assert_eq!(
        said(r#"fixtures("a", "./b.sql")"#),
        [
            "one `fixtures(...)` takes either names (\"a\") or paths (\"./a.sql\"); write a second one for the others"
        ]
    );
    assert_eq!(said(r#"fixtures("")"#), ["a fixture has a name"]);
    assert_eq!(
        said("fixtures(a)"),
        ["unknown part of `fixtures` `a`; legal are: `path`, `scripts`"]
    );
    assert_eq!(
        said(r#"fixtures(path = "d", script("a"))"#),
        [
            "unknown part of `fixtures` `script`; did you mean `scripts`? legal are: `path`, `scripts`"
        ]
    );
    assert_eq!(
        said(r#"fixtures(path = "d", "a", path = "e", scripts(b))"#),
        [
            "a file beside `path` stands in `scripts(...)`",
            "`path` is given twice",
            "expected a string: \"b\""
        ]
    );
    assert_eq!(
        said(r#"fixtures(path = "d")"#),
        ["`path` wants files beside it: `fixtures(path = \"dir\", scripts(\"a\"))`"]
    );
    assert_eq!(
        said(r#"fixtures(scripts("a"))"#),
        ["`scripts` wants a directory beside it: `fixtures(path = \"dir\", scripts(\"a\"))`"]
    );
}

#[test]
fn migrations_are_a_directory_or_none_or_a_migrator() {
    assert!(
        matches!(good(r#"migrations = "src""#).migrations, Some(Migrations::Dir(dir)) if dir.value() == "src")
    );
    assert!(matches!(
        good("migrations = false").migrations,
        Some(Migrations::Without)
    ));
    assert!(matches!(
        good(r#"migrator = "crate::A""#).migrations,
        Some(Migrations::Migrator(_))
    ));
    assert_eq!(
        said(r#"migrations = "nowhere""#),
        ["there is no directory nowhere in the package's root"]
    );
    assert_eq!(
        said("migrations = true"),
        ["`migrations = true` says nothing: they are applied unless it is `false`"]
    );
    assert_eq!(
        said("migrations"),
        ["`migrations` wants a directory or `false`: `migrations = \"...\"`"]
    );
    assert_eq!(
        said(r#"migrator = "2""#),
        ["`migrator` wants a path in a string: \"crate::MIGRATOR\""]
    );
    assert_eq!(
        said("migrator = crate::A"),
        ["`migrator` wants a string: `migrator = \"...\"`"]
    );
    assert_eq!(
        said(r#"migrator = "A", migrations = false"#),
        ["`migrations` and `migrator` exclude each other"]
    );
}

#[test]
fn words_are_checked_against_the_legal_ones() {
    assert_eq!(good(r#"pool = "sandbox""#).pool, Some(PoolKind::Sandbox));
    assert_eq!(good(r#"pool = "database""#).pool, Some(PoolKind::Database));
    assert_eq!(good("keep").keep, Some(Keep::Always));
    assert_eq!(good(r#"keep = "always""#).keep, Some(Keep::Always));
    assert_eq!(good(r#"keep = "failed""#).keep, Some(Keep::Failed));
    assert_eq!(
        said(r#"pool = "none""#),
        [r#"`pool` is one of: "rollback", "database""#]
    );
    assert_eq!(
        said("pool"),
        [r#"`pool` is one of: "rollback", "database""#]
    );
    assert_eq!(
        said("keep = true"),
        [r#"`keep` is one of: "always", "failed""#]
    );
    assert_eq!(
        said("keep(always)"),
        [r#"`keep` is one of: "always", "failed""#]
    );
}

#[test]
fn transactions_have_a_level_and_savepoints() {
    let level = |options: &str| good(options).isolation_level;
    assert_eq!(
        level(r#"isolation_level = "read committed""#),
        Some(IsolationLevel::ReadCommitted)
    );
    assert_eq!(
        level(r#"isolation_level = "repeatable read""#),
        Some(IsolationLevel::RepeatableRead)
    );
    assert_eq!(
        level(r#"savepoints, isolation_level = "serializable""#),
        Some(IsolationLevel::Serializable)
    );
    assert!(good("savepoints").savepoints.is_some());
    let legal =
        r#"`isolation_level` is one of: "read committed", "repeatable read", "serializable""#;
    assert_eq!(said(r#"isolation_level = "read uncommitted""#), [legal]);
    assert_eq!(said("isolation_level"), [legal]);
    assert_eq!(said("savepoints = true"), ["`savepoints` takes no value"]);
    assert_eq!(
        said("savepoints(), savepoints"),
        ["`savepoints` takes no value", "`savepoints` is given twice"]
    );
}

#[test]
fn expectations_take_identifiers_and_strings() {
    let args = good(
        r#"expect(tables(a, "s.b", r#type), rows(customers = 2, "s.t" = 1_000), enums(mood("sad", ok), "s.m"("x")))"#,
    );
    let list = |labels: &[&str]| labels.iter().map(ToString::to_string).collect();
    let expected = [
        Expectation::Table("a".into()),
        Expectation::Table("s.b".into()),
        Expectation::Table("type".into()),
        Expectation::Rows("customers".into(), 2),
        Expectation::Rows("s.t".into(), 1000),
        Expectation::Enum("mood".into(), list(&["sad", "ok"])),
        Expectation::Enum("s.m".into(), list(&["x"])),
    ];
    assert_eq!(args.expect, expected);
}

#[test]
fn a_type_among_the_enums_has_its_labels() {
    let args = good(r#"expect(enums(Mood, mood("sad"), crate::moods::taste))"#);
    let types = ["Mood", "crate :: moods :: taste"];
    let found: Vec<String> = args
        .expect
        .iter()
        .map(|expectation| format!("{expectation:?}"))
        .collect();
    assert_eq!(
        found,
        [
            format!("EnumOf({})", types[0]),
            format!("EnumOf({})", types[1]),
            r#"Enum("mood", ["sad"])"#.into()
        ]
    );
}

#[test]
fn expectations_say_what_they_want() {
    assert_eq!(
        said(r#"expect(table("a"))"#),
        [
            "unknown part of `expect` `table`; did you mean `tables`? legal are: `tables`, `rows`, `enums`"
        ]
    );
    assert_eq!(
        said("expect(rows(a, b = -1, c = \"x\", d = 2u8))"),
        [
            "`a` wants a whole number: `a = 2`",
            "`b` wants a whole number: `b = 2`",
            "`c` wants a whole number: `c = 2`",
            "`d` wants a whole number: `d = 2`",
        ]
    );
    assert_eq!(
        said(r#"expect(tables("a", a, ""), tables(b = 2))"#),
        [
            "`a` is given twice",
            "this name is empty",
            "`tables` is given twice",
            "`b` takes no value here"
        ]
    );
    assert_eq!(
        said("expect(tables(), rows())"),
        [
            "`tables` is empty: name what is expected",
            "`rows` is empty: name what is expected"
        ]
    );
    assert_eq!(
        said("expect(enums(mood))"),
        ["`mood` wants a list: `mood(...)`"]
    );
    assert_eq!(
        said("expect(enums(Mood, , mood))"),
        [
            "nothing stands before this comma",
            "`mood` wants a list: `mood(...)`"
        ]
    );
    assert_eq!(
        said("expect(enums(mood()))"),
        ["`mood` wants its labels: `name(\"a\", \"b\")`"]
    );
    assert_eq!(said("expect = 2"), ["`expect` wants a list: `expect(...)`"]);
}

#[test]
fn the_runtime_is_tokios() {
    let runtime = good(r#"flavor = "multi_thread", worker_threads = 2"#).runtime;
    assert_eq!(
        (runtime.flavor, runtime.worker_threads),
        (Some(Flavor::MultiThread), Some(2))
    );
    assert_eq!(good("start_paused = true").runtime.start_paused, Some(true));
    assert_eq!(
        said(r#"flavor = "current""#),
        [r#"`flavor` is one of: "current_thread", "multi_thread""#]
    );
    assert_eq!(
        said("worker_threads = 2"),
        ["`worker_threads` goes with `flavor = \"multi_thread\"`"]
    );
    assert_eq!(
        said(r#"flavor = "multi_thread", worker_threads = 0"#),
        ["`worker_threads` is at least 1"]
    );
    assert_eq!(
        said(r#"flavor = "multi_thread", start_paused = false"#),
        ["`start_paused` goes with `flavor = \"current_thread\"`"]
    );
    assert_eq!(
        said("start_paused"),
        ["`start_paused` wants `true` or `false`: `start_paused = true`"]
    );
    assert_eq!(
        said(r#"flavor = "multithread", worker_threads = 2"#),
        [r#"`flavor` is one of: "current_thread", "multi_thread""#]
    );
}

#[test]
fn a_function_without_a_runtime_has_no_options_for_it() {
    let mut errors = Errors::default();
    good(r#"keep, flavor = "multi_thread", worker_threads = 2"#)
        .runtime
        .refuse(&mut errors);
    assert_eq!(
        errors.texts(),
        [
            "`flavor` is for async functions, and this function is not async",
            "`worker_threads` is for async functions, and this function is not async",
        ]
    );
}

#[test]
fn the_crate_is_a_path() {
    assert!(good(r#"crate = "crate::stand_in""#).krate.is_some());
    assert_eq!(
        said("crate = 1"),
        ["`crate` wants a string: `crate = \"...\"`"]
    );
    assert_eq!(
        said(r#"crate = "a b""#),
        ["`crate` wants a path in a string: \"::ebbtide\""]
    );
}

#[test]
fn an_unknown_option_gets_the_nearest_name_and_all_of_them() {
    let all = "legal are: `fixtures`, `migrations`, `migrator`, `pool`, `isolation_level`, `savepoints`, `keep`, \
               `expect`, `flavor`, `worker_threads`, `start_paused`, `crate`";
    assert_eq!(
        said("fixture(\"a\")"),
        [format!(
            "unknown option `fixture`; did you mean `fixtures`? {all}"
        )]
    );
    assert_eq!(
        said("whatever"),
        [format!("unknown option `whatever`; {all}")]
    );
    assert_eq!(
        said("\"keep\""),
        [format!(
            "unknown option `\"keep\"`; did you mean `keep`? {all}"
        )]
    );
}

#[test]
fn everything_wrong_is_said_at_once() {
    assert_eq!(
        said(
            r#"keep, keep = "failed", , pool = 1, migration = false, crate::a, 3, start_paused = maybe"#
        ),
        [
            "nothing stands before this comma",
            "expected `,`, `=` or `(` after `crate`",
            "expected a name or a string",
            "`keep` is given twice",
            "`pool` is one of: \"rollback\", \"database\"",
            "unknown option `migration`; did you mean `migrations`? legal are: `fixtures`, `migrations`, `migrator`, \
             `pool`, `isolation_level`, `savepoints`, `keep`, `expect`, `flavor`, `worker_threads`, `start_paused`, `crate`",
            "`start_paused` wants `true` or `false`: `start_paused = true`",
        ]
    );
}

#[test]
fn values_from_a_macro_lie_in_invisible_groups() {
    let hidden = |tokens: TokenStream| TokenTree::from(Group::new(Delimiter::None, tokens));
    let nested = hidden(hidden(quote!("failed")).into());
    let (file, table, count, switch) = (
        hidden(quote!("a")),
        hidden(quote!(customers)),
        hidden(quote!(2)),
        hidden(quote!(false)),
    );
    let (args, errors) = read_tokens(quote! {
        keep = #nested, fixtures(#file), expect(rows(#table = #count), tables(#table)), migrations = #switch
    });
    assert_eq!(errors, [""; 0]);
    assert_eq!(args.keep, Some(Keep::Failed));
    assert_eq!(args.fixtures[0].value(), "fixtures/a.sql");
    assert_eq!(
        args.expect,
        [
            Expectation::Rows("customers".into(), 2),
            Expectation::Table("customers".into())
        ]
    );
    assert!(matches!(args.migrations, Some(Migrations::Without)));
}
