//! Other attributes next to `#[ebbtide::test]`, tests with results, and tests that macros generate.

use ebbtide::{Database, Tx};
use rstest::rstest;
use sqlx::postgres::PgPool;

use crate::support::{add, customers};

#[ebbtide::test]
#[should_panic(expected = "found Laura")]
async fn should_panic_accepts_a_panic_of_the_test(pool: PgPool) {
    assert_eq!(add(&pool, "Laura").await, 1);
    panic!("found {}", customers(&pool).await.join(", "));
}

#[should_panic(expected = "the deferred constraint orders_customer_fkey does not hold")]
#[ebbtide::test]
async fn should_panic_accepts_a_failure_at_the_end_of_the_test(mut tx: Tx) {
    crate::support::order_of_missing_customer(&mut *tx).await;
}

#[ebbtide::test]
async fn a_test_may_return_a_result_of_sqlx(pool: PgPool) -> sqlx::Result<()> {
    sqlx::query("insert into customers (name) values ('Laura')")
        .execute(&pool)
        .await?;
    Ok(())
}

#[ebbtide::test]
async fn a_test_may_return_a_result_of_ebbtide(mut tx: Tx) -> ebbtide::Result<()> {
    sqlx::query("insert into customers (name) values ('Laura')")
        .execute(&mut *tx)
        .await?;
    tx.close().await
}

#[ebbtide::test]
async fn a_test_may_return_a_boxed_error(mut tx: Tx) -> Result<(), Box<dyn std::error::Error>> {
    sqlx::query("insert into customers (name) values ('Laura')")
        .execute(&mut *tx)
        .await?;
    assert_eq!("1".parse::<usize>()?, customers(&mut *tx).await.len());
    Ok(())
}

#[rstest]
#[case("Marta", 2)]
#[case::another("Olga", 2)]
#[ebbtide::test(fixtures("laura"))]
async fn rstest_above(#[ignore] tx: Tx, #[case] name: &str, #[case] id: i64) {
    // Not in the signature: rstest repeats a `mut` in a function where it is unused, and the
    // compiler warns.
    let mut tx = tx;
    assert_eq!(add(&mut *tx, name).await, id);
    assert_eq!(customers(&mut *tx).await, ["Laura", name]);
    let test: String = sqlx::query_scalar("select current_setting('application_name')")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let case = if name == "Marta" {
        "case_1"
    } else {
        "case_2_another"
    };
    assert_eq!(test, format!("attributes::rstest_above::{case}"));
}

#[ebbtide::test(fixtures("laura"))]
#[rstest]
#[case("Marta", 2)]
#[case::another("Olga", 2)]
async fn rstest_below(#[case] name: &str, #[ignore] pool: PgPool, #[case] id: i64) {
    assert_eq!(add(&pool, name).await, id);
    assert_eq!(customers(&pool).await, ["Laura", name]);
}

#[rstest]
#[ebbtide::test]
fn rstest_without_a_runtime(
    #[ignore] database: Database,
    #[values(1, 2)] number: usize,
) -> Result<(), String> {
    let name = database.name();
    (number < 3 && name.starts_with("ebbtide_"))
        .then_some(())
        .ok_or_else(|| name.to_owned())
}

macro_rules! test_with_fixture {
    ($name:ident, $fixture:literal, $customer:expr, $argument:ty) => {
        #[ebbtide::test(fixtures($fixture), expect(rows(customers = 1)))]
        async fn $name(mut tx: $argument) {
            assert_eq!(customers(&mut *tx).await, [$customer]);
        }
    };
}
test_with_fixture!(a_macro_may_generate_a_test, "laura", "Laura", Tx);
test_with_fixture!(
    a_macro_may_generate_another_test,
    "marta",
    "Marta",
    ebbtide::Tx
);

macro_rules! with_attribute {
    ($($item:item)*) => {$(
        #[ebbtide::test(fixtures("laura"))]
        $item
    )*};
}
with_attribute! {
    async fn a_macro_may_add_the_attribute(pool: PgPool) {
        assert_eq!(customers(&pool).await, ["Laura"]);
    }

    #[should_panic(expected = "Laura")]
    async fn a_macro_may_add_the_attribute_above_should_panic(mut tx: Tx) {
        panic!("{:?}", customers(&mut *tx).await);
    }
}
