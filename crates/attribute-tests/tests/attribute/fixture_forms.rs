//! `fixtures(...)`: which SQL files ebbtide runs, and that they are part of a test's initial state.

use ebbtide::Tx;
use sqlx::postgres::PgPool;

use crate::support::{add, customers};

#[ebbtide::test(fixtures("laura"))]
async fn a_fixture_is_found_by_its_name(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Laura"]);
}

#[ebbtide::test(fixtures("laura", "marta"))]
async fn fixtures_run_in_the_order_of_their_names(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Laura", "Marta"]);
}

#[ebbtide::test(fixtures("marta.sql", "laura"))]
async fn fixtures_run_in_the_reverse_order_if_listed_so(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Marta", "Laura"]);
}

#[ebbtide::test(fixtures("../rosa.sql", "./deeper/nuria.sql"))]
async fn fixtures_are_found_by_their_paths(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Rosa", "Nuria"]);
}

#[ebbtide::test(fixtures(path = "deeper", scripts("olga", "nuria.sql")))]
async fn scripts_are_found_in_their_directory(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Olga", "Nuria"]);
}

#[ebbtide::test(fixtures(path = "../attribute/deeper/", scripts("olga")))]
async fn scripts_are_found_in_a_relative_directory(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Olga"]);
}

#[ebbtide::test(
    fixtures("laura"),
    fixtures(path = "./deeper", scripts("nuria")),
    fixtures("../rosa.sql"),
    fixtures("orders")
)]
async fn several_lists_run_in_their_order(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Laura", "Nuria", "Rosa"]);
    let orders: i64 = sqlx::query_scalar("select count(*) from orders")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(orders, 3, "a fixture sees the rows of the earlier ones");
}

#[ebbtide::test(fixtures())]
async fn an_empty_list_runs_no_fixture(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, [""; 0]);
}

#[test]
fn every_test_begins_with_its_fixtures() {
    #[ebbtide::test(fixtures("laura"))]
    async fn committing(pool: PgPool) {
        assert_eq!(customers(&pool).await, ["Laura"]);
        sqlx::query("update customers set name = 'changed'")
            .execute(&pool)
            .await
            .unwrap();
        assert_eq!(add(&pool, "Marta").await, 2);
    }
    #[ebbtide::test(fixtures("laura"))]
    async fn rolled_back(mut tx: Tx) {
        assert_eq!(customers(&mut *tx).await, ["Laura"]);
        assert_eq!(
            add(&mut *tx, "Olga").await,
            2,
            "the identity continues after the fixture's row"
        );
    }
    for _ in 0..3 {
        committing();
        rolled_back();
        crate::support::nothing_is_left();
    }
}
