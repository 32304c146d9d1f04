//! 600 tests with `#[ebbtide::test]` and a `PgPool`. `benches` runs them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

macro_rules! test {
    ($name:ident) => {
        #[ebbtide::test(fixtures("customers"))]
        async fn $name(pool: sqlx::PgPool) {
            crate::support::book(&mut pool.acquire().await.unwrap()).await;
        }
    };
}

support::generate!(600 test);
