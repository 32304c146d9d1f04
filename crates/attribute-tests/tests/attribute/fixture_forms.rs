//! Which files of SQL a test has on top, and that they are part of what every test begins with.

use ebbtide::Tx;
use sqlx::postgres::PgPool;

use crate::support::{add, customers};

#[ebbtide::test(fixtures("laura"))]
async fn by_a_name(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Laura"]);
}

#[ebbtide::test(fixtures("laura", "marta"))]
async fn by_names_in_their_order(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Laura", "Marta"]);
}

#[ebbtide::test(fixtures("marta.sql", "laura"))]
async fn by_names_in_the_other_order(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Marta", "Laura"]);
}

#[ebbtide::test(fixtures("../rosa.sql", "./deeper/nuria.sql"))]
async fn by_paths(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Rosa", "Nuria"]);
}

#[ebbtide::test(fixtures(path = "deeper", scripts("olga", "nuria.sql")))]
async fn by_a_directory_and_scripts(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Olga", "Nuria"]);
}

#[ebbtide::test(fixtures(path = "../attribute/deeper/", scripts("olga")))]
async fn by_a_directory_further_away(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Olga"]);
}

#[ebbtide::test(
    fixtures("laura"),
    fixtures(path = "./deeper", scripts("nuria")),
    fixtures("../rosa.sql"),
    fixtures("orders")
)]
async fn by_several_lists(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Laura", "Nuria", "Rosa"]);
    let orders: i64 = sqlx::query_scalar("select count(*) from orders")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(orders, 3, "a later one sees the earlier ones");
}

#[ebbtide::test(fixtures())]
async fn by_an_empty_list(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, [""; 0]);
}

#[test]
fn every_test_begins_with_its_fixtures() {
    #[ebbtide::test(fixtures("laura"))]
    async fn committing(pool: PgPool) {
        assert_eq!(customers(&pool).await, ["Laura"]);
        sqlx::query("update customers set name = 'somebody'")
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
            "the identity goes on behind the fixtures"
        );
    }
    for _ in 0..3 {
        committing();
        rolled_back();
        crate::support::nothing_is_left();
    }
}
