//! ebbtide's fixture for `rstest`, as a user's test takes it.

use crate::support::salon;
use ebbtide::{Tx, fixtures::tx};
use rstest::rstest;

#[rstest]
#[tokio::test]
async fn the_fixture_gives_a_transaction(#[future] tx: Tx) -> ebbtide::Result<()> {
    let Some(mut tx) = salon::fixture_tx(tx).await else {
        return Ok(());
    };
    let customers: i64 = sqlx::query_scalar("select count(*) from customers")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(customers, 0);
    tx.close().await
}

#[rstest]
#[case("Marta", "both")]
#[case("Pilar", "hairdressing")]
#[case("Rosa", "aesthetics")]
#[tokio::test]
async fn the_fixture_works_with_cases(
    #[future] tx: Tx,
    #[case] name: &str,
    #[case] category: &str,
) {
    let Some(mut tx) = salon::fixture_tx(tx).await else {
        return;
    };
    let found: String =
        sqlx::query_scalar("select category::text from stylists where first_name = $1")
            .bind(name)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
    assert_eq!(found, category);
}
