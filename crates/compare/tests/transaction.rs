//! One of the sides: see the crate's main file.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

macro_rules! test {
    ($name:ident) => {
        #[ebbtide::test(fixtures("customers"))]
        async fn $name(mut tx: ebbtide::Tx) {
            crate::support::book(&mut tx).await;
        }
    };
}

support::three_hundred!(test);
