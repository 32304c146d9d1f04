//! 300 tests with `#[sqlx::test]` and a `PgPool`. `benches` runs them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

macro_rules! test {
    ($name:ident) => {
        #[sqlx::test(fixtures("customers"))]
        async fn $name(pool: sqlx::PgPool) {
            crate::support::book(&mut pool.acquire().await.unwrap()).await;
        }
    };
}

support::generate!(300 test);
