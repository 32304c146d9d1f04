//! The lower bound: a connection to an existing database, BEGIN and ROLLBACK.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

macro_rules! test {
    ($name:ident) => {
        #[tokio::test]
        async fn $name() {
            use sqlx::Connection as _;
            // The comparison sets the variable. Without it, the test does nothing.
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

support::generate!(600 test);
