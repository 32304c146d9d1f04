//! The floor: a connection to a database that is ready, BEGIN and ROLLBACK.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

macro_rules! test {
    ($name:ident) => {
        #[tokio::test]
        async fn $name() {
            use sqlx::Connection as _;
            // Given by the comparison; without it there is nothing to compare with.
            let Ok(url) = std::env::var("COMPARE_URL") else {
                return;
            };
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            let mut transaction = connection.begin().await.unwrap();
            crate::support::book(&mut transaction).await;
            transaction.rollback().await.unwrap();
        }
    };
}

support::three_hundred!(test);
