//! A savepoint for each statement, on a server that wants a password and whose lanes say themselves who has them.

use ebbtide::TxOptions;

use super::outside::{Outside, undisturbed};
use super::support::here;

#[tokio::test]
async fn the_password_goes_through_the_relay() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let harness = outside.builder(&url).build().unwrap();
    for _ in 0..3 {
        let mut tx = harness
            .tx_with(TxOptions::new().savepoints())
            .await
            .unwrap();
        let insert = "insert into things (name) values ('one') returning id";
        assert_eq!(
            sqlx::query_scalar::<_, i64>(insert)
                .fetch_one(&mut *tx)
                .await
                .unwrap(),
            1
        );
        sqlx::query(insert).execute(&mut *tx).await.unwrap_err();
        let things = sqlx::query_scalar::<_, i64>("select count(*) from things");
        assert_eq!(things.fetch_one(&mut *tx).await.unwrap(), 1);
        tx.close().await.unwrap();
        harness.tx().await.unwrap().close().await.unwrap();
    }
}
