//! `expect(...)`: ebbtide checks it before the test begins.

use ebbtide::{PgEnum, Tx};

use crate::child_process::{run_in_child, this_test};
use crate::support::customers;

#[ebbtide::test(
    fixtures("laura"),
    expect(
        tables(customers, "public.orders"),
        rows(services = 2, customers = 1, "public.orders" = 0),
        enums(mood("sad", "happy"))
    )
)]
async fn expectations_that_hold_let_the_test_run(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Laura"]);
}

#[ebbtide::test(expect(rows(services = 2)))]
async fn expectations_work_without_fixtures(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, [""; 0]);
}

#[ebbtide::test(
    migrations = "other/migrations",
    expect(tables(ships), rows(ships = 0))
)]
async fn expectations_work_with_other_migrations(_: Tx) {}

#[derive(PgEnum)]
#[pg_enum(name = "mood", rename_all = "lowercase")]
#[expect(dead_code, reason = "only its labels are used")]
enum Mood {
    Happy,
    Sad,
}

#[ebbtide::test(expect(enums(Mood)))]
async fn the_labels_of_a_rust_enum_may_be_in_any_order(_: Tx) {}

#[test]
fn labels_that_only_one_side_has_are_reported_before_the_test_begins() {
    /// An enum that sends the names of its variants.
    #[derive(sqlx::Type, PgEnum)]
    #[sqlx(type_name = "mood", rename_all = "UPPERCASE")]
    enum Wrong {
        Happy,
        Sleepy,
    }
    /// An enum that the database does not have.
    #[derive(PgEnum)]
    #[expect(dead_code, reason = "only its labels are used")]
    enum Taste {
        Sweet,
    }
    #[ebbtide::test(expect(enums(Wrong, Mood, Taste)))]
    async fn subject(_: Tx) {
        panic!("the test began");
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    output.assert_failed()
        .assert_contains("the provisioned database differs from the expectations in 2 points")
        .assert_contains("\n    enum mood and attribute::expectations::labels_that_only_one_side_has_are_reported_before_the_test_begins::Wrong have different labels\n")
        .assert_contains("\n      Rust has: HAPPY, SLEEPY\n      the database has: sad, happy\n")
        .assert_contains("\n      spelt differently: HAPPY / happy\n      only in Rust: SLEEPY\n      only in the database: sad\n")
        .assert_contains("\n    enum taste is missing, but the Rust enum attribute::expectations::")
        .assert_contains("`rename_all` on a Rust enum");
    output.assert_lacks("the test began");
}

#[test]
fn expectations_that_do_not_hold_are_listed() {
    #[ebbtide::test(
        fixtures("laura"),
        expect(
            tables(ships, customers),
            rows(customers = 2, trains = 1),
            enums(mood("happy", "sad"), taste("sweet"))
        )
    )]
    async fn subject(_: Tx) {
        panic!("the test began");
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    output.assert_failed()
        .assert_contains("the test has not begun: the provisioned database differs from the expectations in 5 points")
        .assert_contains("\n    table ships is missing\n")
        .assert_contains("\n    table customers has 1 rows, expected 2\n")
        .assert_contains("\n    table trains is missing, expected with 1 rows\n")
        .assert_contains("\n    enum mood is (sad, happy), expected (happy, sad)\n")
        .assert_contains("\n    enum taste is missing, expected (sweet)\n")
        .assert_contains("\n  help: ");
    output.assert_lacks("the test began");
}
