//! One of the sides: see the crate's main file.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

macro_rules! test {
    ($name:ident) => {
        #[ebbtide::test(fixtures("customers"), pool = "sandbox")]
        async fn $name(pool: sqlx::PgPool) {
            crate::support::book(&mut pool.acquire().await.unwrap()).await;
        }
    };
}

support::three_hundred!(test);
