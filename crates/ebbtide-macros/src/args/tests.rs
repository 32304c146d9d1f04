use std::path::Path;

use proc_macro2::{Delimiter, Group, TokenTree};
use quote::quote;

use super::*;

fn parse_text(options: &str) -> (Args, Vec<String>) {
    parse_tokens(options.parse().expect("the test's own text is Rust"))
}

fn parse_tokens(options: TokenStream) -> (Args, Vec<String>) {
    let mut errors = Errors::default();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let args = parse(options, Some(package), &mut errors);
    args.runtime.check(&mut errors);
    (args, errors.texts())
}

/// The options, which must be legal.
fn parsed(options: &str) -> Args {
    let (args, errors) = parse_text(options);
    assert!(errors.is_empty(), "{options}: {errors:?}");
    args
}

fn errors_of(options: &str) -> Vec<String> {
    parse_text(options).1
}

fn files(options: &str) -> Vec<String> {
    parsed(options).fixtures.iter().map(LitStr::value).collect()
}

#[test]
fn without_options_every_field_is_empty() {
    let args = parsed("");
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
fn fixtures_are_paths_in_the_order_of_the_attribute() {
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
        files(r#"fixtures("b"), savepoints, fixtures("./a.sql"), fixtures()"#),
        ["fixtures/b.sql", "./a.sql"]
    );
}

#[test]
fn every_error_of_fixtures_has_a_rule_and_a_remedy() {
    assert_eq!(
        errors_of("fixtures"),
        ["`fixtures` must have a list: write `fixtures(...)`"]
    );
    assert_eq!(
        errors_of(r#"fixtures("a", "./b.sql")"#),
        [
            "one `fixtures(...)` must have either names (\"a\") or paths (\"./a.sql\"): \
             write a second `fixtures(...)` for the others"
        ]
    );
    assert_eq!(
        errors_of(r#"fixtures("")"#),
        ["a fixture must have a name, for example \"customers\""]
    );
    assert_eq!(
        errors_of("fixtures(a)"),
        ["unknown part of `fixtures`: `a`; legal parts: `path`, `scripts`"]
    );
    assert_eq!(
        errors_of(r#"fixtures(path = "d", script("a"))"#),
        [
            "unknown part of `fixtures`: `script`; did you mean `scripts`? \
             legal parts: `path`, `scripts`"
        ]
    );
    assert_eq!(
        errors_of(r#"fixtures(path = "d", "a", path = "e", scripts(b))"#),
        [
            "a file next to `path` or `scripts` must be inside `scripts(...)`: move it there",
            "`path` must not be repeated: remove one of the two",
            "expected a string: write \"b\""
        ]
    );
    assert_eq!(
        errors_of(r#"fixtures(path = "d")"#),
        ["`path` must be combined with `scripts`, \
             for example `fixtures(path = \"dir\", scripts(\"a\"))`"]
    );
    assert_eq!(
        errors_of(r#"fixtures(scripts("a"))"#),
        ["`scripts` must be combined with `path`, \
             for example `fixtures(path = \"dir\", scripts(\"a\"))`"]
    );
}

#[test]
fn the_last_version_is_a_number_or_a_text_perhaps_with_its_source() {
    let last = |options: &str| {
        let last = parsed(options).migrations_up_to.expect("a version");
        (last.source.map(|it| it.value()), last.version.value())
    };
    let text = |text: &str| text.to_owned();
    assert_eq!(last("migrations_up_to = 41"), (None, text("41")));
    assert_eq!(
        last("migrations_up_to = 20260131_120000"),
        (None, text("20260131120000"))
    );
    assert_eq!(
        last(r#"migrations_up_to = "ae1027a6acf""#),
        (None, text("ae1027a6acf"))
    );
    assert_eq!(
        last(r#"migrations_up_to = ("platform", 41)"#),
        (Some(text("platform")), text("41"))
    );
    for wrong in [
        "migrations_up_to",
        "migrations_up_to(41)",
        "migrations_up_to = 41u8",
        "migrations_up_to = true",
        r#"migrations_up_to = """#,
        "migrations_up_to = (41)",
        r#"migrations_up_to = ("a", 41, 42)"#,
        "migrations_up_to = VERSION",
    ] {
        assert_eq!(
            errors_of(wrong),
            [
                "`migrations_up_to` must be a version, for example `migrations_up_to = 41`, \
                 `migrations_up_to = \"20260131120000\"` or, with several directories, \
                 `migrations_up_to = (\"dir\", 41)`"
            ],
            "{wrong}"
        );
    }
    assert_eq!(
        errors_of("migrations_up_to = 41, migrations = false"),
        ["`migrations_up_to` needs migrations: remove it, or `migrations = false`"]
    );
}

#[test]
fn migrations_are_a_directory_or_false_or_a_migrator() {
    let migrations = parsed(r#"migrations = "src""#).migrations;
    assert!(matches!(migrations, Some(Migrations::Dir(dir)) if dir.value() == "src"));
    assert!(matches!(
        parsed("migrations = false").migrations,
        Some(Migrations::Without)
    ));
    assert!(matches!(
        parsed(r#"migrator = "crate::A""#).migrations,
        Some(Migrations::Migrator(_))
    ));
    assert_eq!(
        errors_of(r#"migrations = "nowhere""#),
        [
            "`migrations` must be a directory, relative to the package, \
             but there is no directory \"nowhere\": create it, or correct the path"
        ]
    );
    assert_eq!(
        errors_of("migrations = true"),
        [
            "`migrations` must be a directory or `false`: remove `migrations = true`, \
             because migrations are applied by default"
        ]
    );
    assert_eq!(
        errors_of("migrations"),
        ["`migrations` must be a directory or `false`, \
             for example `migrations = \"migrations\"`"]
    );
    assert_eq!(
        errors_of(r#"migrator = "2""#),
        ["`migrator` must be a Rust path in a string, for example \"crate::MIGRATOR\""]
    );
    assert_eq!(
        errors_of("migrator = crate::A"),
        ["`migrator` must be a string, for example `migrator = \"...\"`"]
    );
    assert_eq!(
        errors_of(r#"migrator = "A", migrations = false"#),
        ["`migrations` and `migrator` must not be combined: remove one of them"]
    );
}

#[test]
fn an_option_with_words_accepts_only_the_legal_ones() {
    assert_eq!(parsed(r#"pool = "sandbox""#).pool, Some(PoolKind::Sandbox));
    assert_eq!(
        parsed(r#"pool = "database""#).pool,
        Some(PoolKind::Database)
    );
    assert_eq!(parsed(r#"keep = "always""#).keep, Some(Keep::Always));
    assert_eq!(parsed(r#"keep = "failed""#).keep, Some(Keep::Failed));
    let pool = r#"`pool` must be "sandbox" or "database", for example `pool = "sandbox"`"#;
    assert_eq!(errors_of(r#"pool = "none""#), [pool]);
    assert_eq!(errors_of("pool"), [pool]);
    let keep = r#"`keep` must be "always" or "failed", for example `keep = "always"`"#;
    assert_eq!(errors_of("keep"), [keep]);
    assert_eq!(errors_of("keep = true"), [keep]);
    assert_eq!(errors_of("keep(always)"), [keep]);
}

#[test]
fn transactions_have_a_level_and_savepoints() {
    let level = |options: &str| parsed(options).isolation_level;
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
    assert!(parsed("savepoints").savepoints.is_some());
    let legal = "`isolation_level` must be \"read committed\", \"repeatable read\" or \
                 \"serializable\", for example `isolation_level = \"read committed\"`";
    assert_eq!(
        errors_of(r#"isolation_level = "read uncommitted""#),
        [legal]
    );
    assert_eq!(errors_of("isolation_level"), [legal]);
    let no_value = "`savepoints` takes no value: write `savepoints` only";
    assert_eq!(errors_of("savepoints = true"), [no_value]);
    assert_eq!(
        errors_of("savepoints(), savepoints"),
        [
            no_value,
            "`savepoints` must not be repeated: remove one of the two"
        ]
    );
}

#[test]
fn names_in_expectations_are_identifiers_or_strings() {
    let args = parsed(
        r#"expect(
            tables(a, "s.b", r#type),
            rows(customers = 2, "s.t" = 1_000),
            enums(mood("sad", ok), "s.m"("x")),
        )"#,
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
fn a_rust_type_among_the_enums_is_an_expectation_of_its_labels() {
    let args = parsed(r#"expect(enums(Mood, mood("sad"), crate::moods::taste))"#);
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
fn every_error_of_expectations_has_a_rule_and_a_remedy() {
    assert_eq!(
        errors_of(r#"expect(table("a"))"#),
        ["unknown part of `expect`: `table`; did you mean `tables`? \
             legal parts: `tables`, `rows`, `enums`"]
    );
    assert_eq!(
        errors_of("expect(rows(a, b = -1, c = \"x\", d = 2u8))"),
        [
            "`a` must be a whole number, for example `a = 2`",
            "`b` must be a whole number, for example `b = 2`",
            "`c` must be a whole number, for example `c = 2`",
            "`d` must be a whole number, for example `d = 2`",
        ]
    );
    assert_eq!(
        errors_of(r#"expect(tables("a", a, ""), tables(b = 2))"#),
        [
            "`a` must not be repeated: remove one of the two",
            "a name must not be empty",
            "`tables` must not be repeated: remove one of the two",
            "`b` takes no value here: write `b` only"
        ]
    );
    assert_eq!(
        errors_of("expect(tables(), rows())"),
        [
            "`tables` must not be empty: list what is expected, or remove `tables`",
            "`rows` must not be empty: list what is expected, or remove `rows`"
        ]
    );
    assert_eq!(
        errors_of("expect(enums(mood))"),
        ["`mood` must have a list: write `mood(...)`"]
    );
    assert_eq!(
        errors_of("expect(enums(Mood, , mood))"),
        [
            "expected an item before this comma: add the item, or remove the comma",
            "`mood` must have a list: write `mood(...)`"
        ]
    );
    assert_eq!(
        errors_of("expect(enums(mood()))"),
        ["`mood` must have labels, for example `mood(\"a\", \"b\")`"]
    );
    assert_eq!(
        errors_of("expect = 2"),
        ["`expect` must have a list: write `expect(...)`"]
    );
}

#[test]
fn the_runtime_options_are_those_of_tokio() {
    let runtime = parsed(r#"flavor = "multi_thread", worker_threads = 2"#).runtime;
    assert_eq!(
        (runtime.flavor, runtime.worker_threads),
        (Some(Flavor::MultiThread), Some(2))
    );
    assert_eq!(
        parsed("start_paused = true").runtime.start_paused,
        Some(true)
    );
    let flavor = "`flavor` must be \"current_thread\" or \"multi_thread\", \
                  for example `flavor = \"current_thread\"`";
    assert_eq!(errors_of(r#"flavor = "current""#), [flavor]);
    assert_eq!(
        errors_of("worker_threads = 2"),
        ["`worker_threads` needs `flavor = \"multi_thread\"`: \
             set it, or remove `worker_threads`"]
    );
    assert_eq!(
        errors_of(r#"flavor = "multi_thread", worker_threads = 0"#),
        ["`worker_threads` must be at least 1, for example `worker_threads = 2`"]
    );
    assert_eq!(
        errors_of(r#"flavor = "multi_thread", start_paused = false"#),
        ["`start_paused` needs `flavor = \"current_thread\"`: \
             set it, or remove `start_paused`"]
    );
    assert_eq!(
        errors_of("start_paused"),
        ["`start_paused` must be `true` or `false`, for example `start_paused = true`"]
    );
    assert_eq!(
        errors_of(r#"flavor = "multithread", worker_threads = 2"#),
        [flavor]
    );
}

#[test]
fn the_runtime_options_are_errors_for_a_function_that_is_not_async() {
    let mut errors = Errors::default();
    parsed(r#"savepoints, flavor = "multi_thread", worker_threads = 2"#)
        .runtime
        .forbid(&mut errors);
    assert_eq!(
        errors.texts(),
        [
            "`flavor` needs an async function: make this function async, or remove `flavor`",
            "`worker_threads` needs an async function: make this function async, \
             or remove `worker_threads`",
        ]
    );
}

#[test]
fn the_crate_is_a_path() {
    assert!(parsed(r#"crate = "crate::stand_in""#).krate.is_some());
    assert_eq!(
        errors_of("crate = 1"),
        ["`crate` must be a string, for example `crate = \"...\"`"]
    );
    assert_eq!(
        errors_of(r#"crate = "a b""#),
        ["`crate` must be a Rust path in a string, for example \"::ebbtide\""]
    );
}

#[test]
fn a_role_is_a_name() {
    let role = |options: &str| parsed(options).role.map(|role| role.value());
    assert_eq!(role(r#"role = "odd-Name;""#).as_deref(), Some("odd-Name;"));
    assert_eq!(role("savepoints"), None);
    assert_eq!(
        errors_of("role = app"),
        ["`role` must be a string, for example `role = \"...\"`"]
    );
    assert_eq!(
        errors_of(r#"role = " ""#),
        ["`role` must be the name of a role, for example `role = \"app\"`"]
    );
}

#[test]
fn the_error_of_an_unknown_option_proposes_the_closest_name_and_lists_all() {
    let all = "legal options: `fixtures`, `migrations`, `migrator`, `migrations_up_to`, `pool`, `role`, `isolation_level`, \
               `savepoints`, `keep`, `expect`, `flavor`, `worker_threads`, `start_paused`, `crate`";
    assert_eq!(
        errors_of("fixture(\"a\")"),
        [format!(
            "unknown option: `fixture`; did you mean `fixtures`? {all}"
        )]
    );
    assert_eq!(
        errors_of("whatever"),
        [format!("unknown option: `whatever`; {all}")]
    );
    assert_eq!(
        errors_of("\"keep\""),
        [format!(
            "unknown option: `\"keep\"`; did you mean `keep`? {all}"
        )]
    );
}

#[test]
fn all_errors_are_reported_together() {
    assert_eq!(
        errors_of(
            r#"keep = "always", keep = "failed", , pool = 1, migration = false, crate::a, 3,
            start_paused = maybe"#
        ),
        [
            "expected an item before this comma: add the item, or remove the comma",
            "expected `,`, `=` or `(` after `crate`",
            "expected a name or a string",
            "`keep` must not be repeated: remove one of the two",
            "`pool` must be \"sandbox\" or \"database\", for example `pool = \"sandbox\"`",
            "unknown option: `migration`; did you mean `migrations`? legal options: `fixtures`, \
             `migrations`, `migrator`, `migrations_up_to`, `pool`, `role`, `isolation_level`, `savepoints`, `keep`, `expect`, \
             `flavor`, `worker_threads`, `start_paused`, `crate`",
            "`start_paused` must be `true` or `false`, for example `start_paused = true`",
        ]
    );
}

#[test]
fn values_that_a_macro_passes_in_groups_without_delimiters_are_read() {
    let grouped = |tokens: TokenStream| TokenTree::from(Group::new(Delimiter::None, tokens));
    let nested = grouped(grouped(quote!("failed")).into());
    let (file, table, count, switch) = (
        grouped(quote!("a")),
        grouped(quote!(customers)),
        grouped(quote!(2)),
        grouped(quote!(false)),
    );
    let (args, errors) = parse_tokens(quote! {
        keep = #nested,
        fixtures(#file),
        expect(rows(#table = #count), tables(#table)),
        migrations = #switch
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
