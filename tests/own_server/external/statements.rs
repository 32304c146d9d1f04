//! The relay, which adds a savepoint for each statement, on a server that requires a password.

use ebbtide::TxOptions;

use super::external_server::ExternalServer;
use crate::support::this_test;

#[tokio::test]
async fn password_authentication_works_through_the_relay() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let harness = external.builder(&url).build().unwrap();
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
