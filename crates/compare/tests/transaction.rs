//! 600 tests with `#[ebbtide::test]` and a `Tx`. `benches` runs them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

macro_rules! test {
    ($name:ident) => {
        #[ebbtide::test(fixtures("customers"))]
        async fn $name(mut tx: ebbtide::Tx) {
            crate::support::book(&mut tx).await;
        }
    };
}

support::generate!(600 test);
