//! The code that the attribute generates, compiled and run with a stand-in for ebbtide.

#![expect(
    unnameable_test_items,
    reason = "the test around a test that fails calls it"
)]

mod stand_in;

use std::time::Duration;

use rstest::rstest;
use stand_in::{FAILED, Notes, Steps, Unmakeable, Wrapper};

static MIGRATOR: &str = "embedded";

/// The notes without the test's name.
fn options(Notes(notes): &Notes) -> &str {
    notes.split_once("; ").map_or("", |(_, options)| options)
}

#[stand_in::test(crate = "crate::stand_in")]
fn a_plain_function_is_a_test() {}

#[stand_in::test(crate = "crate::stand_in")]
async fn an_async_function_is_a_test() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[stand_in::test(crate = "crate::stand_in")]
async fn an_async_function_without_an_await_is_a_test() {}

#[stand_in::test(crate = "crate::stand_in")]
fn the_name_contains_the_module(Notes(notes): Notes) {
    assert_eq!(notes, "attribute::the_name_contains_the_module");
}

#[stand_in::test(crate = "crate::stand_in")]
async fn a_test_may_have_any_number_of_arguments_with_any_pattern(
    mut one: Notes,
    Wrapper(two): Wrapper<u32>,
    _: Notes,
    four: Notes,
) {
    one.0.push('!');
    tokio::task::yield_now().await;
    assert_eq!((one.0, two), (format!("{}!", four.0), 7));
}

#[stand_in::test(crate = "crate::stand_in")]
async fn arguments_of_plans_are_announced_together_and_made_in_the_order_of_the_plans(
    #[plan("b")] b: Steps,
    default: Steps,
    #[plan("a")] a: Steps,
) {
    tokio::task::yield_now().await;
    assert_eq!(default.0, ["announce b", "announce a", "reserve"]);
    assert_eq!(a.0, ["make a"]);
    assert_eq!(b.0, ["make b"]);
}

#[stand_in::test(crate = "crate::stand_in")]
fn a_single_argument_needs_no_reservation(#[plan("b")] Steps(steps): Steps) {
    assert_eq!(steps, ["announce b", "make b"]);
}

#[stand_in::test(crate = "crate::stand_in")]
fn an_argument_need_not_be_consumed(notes: Notes) {
    assert!(notes.0.ends_with("consumed"));
}

#[stand_in::test(crate = "crate::stand_in")]
async fn a_result_is_returned(notes: Notes) -> Result<(), Box<dyn std::error::Error>> {
    tokio::task::yield_now().await;
    notes.0.find("result").ok_or("a name")?;
    Ok(())
}

#[stand_in::test(crate = "crate::stand_in")]
fn an_opaque_result_is_returned() -> impl std::process::Termination {
    std::process::ExitCode::SUCCESS
}

#[stand_in::test(crate = "crate::stand_in")]
#[should_panic(expected = "on purpose")]
async fn a_panic_may_be_expected(_notes: Notes) {
    tokio::task::yield_now().await;
    panic!("on purpose");
}

#[should_panic(expected = "cannot make the argument")]
#[stand_in::test(crate = "crate::stand_in")]
fn an_argument_that_cannot_be_made_fails_the_test(_: Unmakeable) {}

#[test]
fn a_result_determines_whether_the_test_has_failed() {
    /// A doc comment stays.
    #[stand_in::test(crate = "crate::stand_in")]
    async fn returns_an_error() -> Result<(), String> {
        tokio::task::yield_now().await;
        Err("no".into())
    }
    #[stand_in::test(crate = "crate::stand_in")]
    fn returns_an_error_without_async(_: Notes) -> Result<(), String> {
        Err("no".into())
    }
    let has_failed = |test: fn()| {
        test();
        FAILED.take()
    };
    assert_eq!(
        has_failed(|| assert!(returns_an_error().is_err())),
        Some(true)
    );
    assert_eq!(
        has_failed(|| assert!(returns_an_error_without_async().is_err())),
        Some(true)
    );
    assert_eq!(
        has_failed(|| assert!(a_result_is_returned().is_ok())),
        Some(false)
    );
    assert_eq!(has_failed(a_plain_function_is_a_test), Some(false));
}

// These tests have names that the generated code also uses.
#[stand_in::test(crate = "crate::stand_in")]
async fn test(context: Notes, runtime: Notes) {
    tokio::task::yield_now().await;
    assert_eq!(context.0, runtime.0);
}

#[stand_in::test(crate = "crate::stand_in")]
async fn runtime(a1: Notes, a0: Notes) {
    tokio::task::yield_now().await;
    assert_eq!(a1.0, a0.0);
}

#[stand_in::test(
    crate = "crate::stand_in",
    fixtures("b", "a.sql"),
    fixtures("./other/c.sql"),
    fixtures(path = "other", scripts("c")),
    fixtures("../tests/fixtures/a.sql")
)]
fn fixtures_run_in_the_order_of_the_attribute(notes: Notes) {
    let expected = "fixtures/b.sql: SELECT 'b';; fixtures/a.sql: SELECT 'a';; \
                    ./other/c.sql: SELECT 'c';; other/c.sql: SELECT 'c';; \
                    ../tests/fixtures/a.sql: SELECT 'a';";
    assert_eq!(options(&notes), expected);
}

#[stand_in::test(
    crate = "crate::stand_in",
    migrations = "tests/migrations",
    pool = "sandbox",
    keep = "always"
)]
fn a_directory_of_migrations(notes: Notes) {
    assert_eq!(
        options(&notes),
        "migrations tests/migrations; Sandbox; Always"
    );
}

#[stand_in::test(crate = "crate::stand_in", migrations_up_to = 41)]
fn a_last_version(notes: Notes) {
    assert_eq!(options(&notes), "up to \"41\"");
}

#[stand_in::test(crate = "crate::stand_in", migrations_up_to = ("app", "7a"))]
fn a_last_version_of_a_source(notes: Notes) {
    assert_eq!(options(&notes), "up to (\"app\", \"7a\")");
}

#[stand_in::test(
    crate = "crate::stand_in",
    migrations = false,
    pool = "database",
    keep = "failed"
)]
fn no_migrations(notes: Notes) {
    assert_eq!(options(&notes), "no migrations; Database; Failed");
}

#[stand_in::test(
    crate = "crate::stand_in",
    migrator = "crate::MIGRATOR",
    keep = "always"
)]
fn a_migrator(notes: Notes) {
    assert_eq!(options(&notes), "migrator embedded; Always");
}

#[stand_in::test(
    crate = "crate::stand_in",
    expect(
        tables(a, "s.b"),
        rows(customers = 2, "s.t" = 3),
        enums(userrole("writer", "editor"), "s.mood"("sad")),
    )
)]
fn expectations(notes: Notes) {
    let expected = "table a; table s.b; customers has 2; s.t has 3; \
                    userrole is [\"writer\", \"editor\"]; s.mood is [\"sad\"]";
    assert_eq!(options(&notes), expected);
}

#[stand_in::test(crate = "crate::stand_in")]
async fn the_default_runtime_has_one_thread() {
    tokio::task::yield_now().await;
    assert_eq!(
        tokio::runtime::Handle::current().runtime_flavor(),
        tokio::runtime::RuntimeFlavor::CurrentThread
    );
}

#[stand_in::test(crate = "crate::stand_in", flavor = "multi_thread", worker_threads = 3)]
async fn several_threads() {
    tokio::task::yield_now().await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_workers(), 3);
}

#[stand_in::test(
    crate = "crate::stand_in",
    flavor = "current_thread",
    start_paused = true
)]
async fn a_paused_clock() {
    tokio::time::sleep(Duration::from_hours(1)).await;
}

macro_rules! with_values {
    ($name:ident, $file:literal, $switch:expr, $ty:ty, $body:block) => {
        #[stand_in::test(
                                                                    crate = "crate::stand_in",
                                                                    fixtures($file, "b"),
                                                                    migrations = $switch,
                                                                    keep = "failed"
                                                                )]
        async fn $name(notes: $ty) {
            let expected = "fixtures/a.sql: SELECT 'a';; fixtures/b.sql: SELECT 'b';; \
                            no migrations; Failed";
            assert_eq!(options(&notes), expected);
            $body
        }
    };
}
with_values!(by_a_macro, "a", false, Notes, {
    tokio::task::yield_now().await;
});

macro_rules! with_lists {
    ($name:ident, $dir:expr, $file:literal, $count:literal) => {
        #[stand_in::test(
                                                            crate = "crate::stand_in",
                                                            fixtures(path = $dir, scripts($file)),
                                                            expect(rows($name = $count))
                                                        )]
        fn $name(notes: Notes) {
            assert_eq!(
                options(&notes),
                "other/c.sql: SELECT 'c';; by_another has 4"
            );
        }
    };
}
with_lists!(by_another, "other", "c", 4);

macro_rules! passed_on {
    ($($item:item)*) => {$(
        #[stand_in::test(crate = "crate::stand_in")]
        $item
    )*};
}
passed_on! {
    fn an_item_that_a_macro_passes_on(notes: Notes) { assert_eq!(options(&notes), ""); }
}

#[rstest]
#[case(1, "one")]
#[case::two(2, "two")]
#[stand_in::test(crate = "crate::stand_in", fixtures("a"))]
async fn rstest_above(#[ignore] notes: Notes, #[case] number: usize, #[case] word: &str) {
    tokio::task::yield_now().await;
    assert_eq!(
        (number, options(&notes)),
        (
            1 + usize::from(word == "two"),
            "fixtures/a.sql: SELECT 'a';"
        )
    );
    assert!(notes.0.contains("::rstest_above::case_"));
}

#[stand_in::test(crate = "crate::stand_in", fixtures("a"))]
#[rstest]
#[case(1, "one")]
#[case::two(2, "two")]
#[should_panic(expected = "three")]
#[case(3, "three")]
async fn rstest_below(#[ignore] notes: Notes, #[case] number: usize, #[case] word: &str) {
    tokio::task::yield_now().await;
    assert_ne!(number, 3, "three");
    assert_eq!(
        (number, options(&notes)),
        (
            1 + usize::from(word == "two"),
            "fixtures/a.sql: SELECT 'a';"
        )
    );
}

#[rstest]
#[stand_in::test(crate = "crate::stand_in")]
fn rstest_without_cases(
    #[ignore] notes: Notes,
    #[values(1, 2)] number: usize,
) -> Result<(), String> {
    notes
        .0
        .contains(&number.to_string())
        .then_some(())
        .ok_or(notes.0)
}

#[stand_in::test(crate = "crate::stand_in")]
#[rstest::rstest]
fn rstest_with_nothing(#[ignore] notes: Notes) {
    assert_eq!(options(&notes), "");
}
