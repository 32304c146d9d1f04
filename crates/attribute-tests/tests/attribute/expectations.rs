//! `expect(...)`: checked before the test begins.

use ebbtide::{PgEnum, Tx};

use crate::again::{here, played};
use crate::support::customers;

#[ebbtide::test(
    fixtures("laura"),
    expect(
        tables(customers, "public.orders"),
        rows(services = 2, customers = 1, "public.orders" = 0),
        enums(mood("sad", "happy"))
    )
)]
async fn what_holds_is_not_noticed(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Laura"]);
}

#[ebbtide::test(expect(rows(services = 2)))]
async fn it_goes_without_fixtures(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, [""; 0]);
}

#[ebbtide::test(
    migrations = "other/migrations",
    expect(tables(ships), rows(ships = 0))
)]
async fn it_goes_with_other_migrations(_: Tx) {}

#[derive(PgEnum)]
#[pg_enum(name = "mood", rename_all = "lowercase")]
#[expect(dead_code, reason = "its labels are what counts")]
enum Mood {
    Happy,
    Sad,
}

#[ebbtide::test(expect(enums(Mood)))]
async fn the_labels_of_a_type_may_stand_in_any_order(_: Tx) {}

#[test]
fn labels_that_only_one_side_knows_are_shown_before_the_test_begins() {
    /// As code sends them that believes in its variants' names.
    #[derive(sqlx::Type, PgEnum)]
    #[sqlx(type_name = "mood", rename_all = "UPPERCASE")]
    enum Wrong {
        Happy,
        Sleepy,
    }
    /// The database has never heard of it.
    #[derive(PgEnum)]
    #[expect(dead_code, reason = "its labels are what counts")]
    enum Taste {
        Sweet,
    }
    #[ebbtide::test(expect(enums(Wrong, Mood, Taste)))]
    async fn subject(_: Tx) {
        panic!("it has begun");
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    said.failed()
        .tells("the provisioned database differs from what is expected in 2 points")
        .tells("\n    enum mood and attribute::expectations::labels_that_only_one_side_knows_are_shown_before_the_test_begins::Wrong have different labels\n")
        .tells("\n      Rust has: HAPPY, SLEEPY\n      the database has: sad, happy\n")
        .tells("\n      spelt differently: HAPPY / happy\n      only in Rust: SLEEPY\n      only in the database: sad\n")
        .tells("\n    enum taste is missing, and attribute::expectations::")
        .tells("`rename_all` on an enum of Rust");
    said.hides("it has begun");
}

#[test]
fn what_does_not_hold_is_listed() {
    #[ebbtide::test(
        fixtures("laura"),
        expect(
            tables(ships, customers),
            rows(customers = 2, trains = 1),
            enums(mood("happy", "sad"), taste("sweet"))
        )
    )]
    async fn subject(_: Tx) {
        panic!("it has begun");
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    said.failed()
        .tells("the test has not begun: the provisioned database differs from what is expected in 5 points")
        .tells("\n    table ships is missing\n")
        .tells("\n    table customers has 1 rows, expected 2\n")
        .tells("\n    table trains is missing, expected with 1 rows\n")
        .tells("\n    enum mood is (sad, happy), expected (happy, sad)\n")
        .tells("\n    enum taste is missing, expected (sweet)\n")
        .tells("\n  help: ");
    said.hides("it has begun");
}
