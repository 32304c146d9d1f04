//! Fixtures for `rstest`, with the feature of that name.
//!
//! # Examples
//! ```no_run
//! use ebbtide::{Tx, fixtures::tx};
//! use rstest::rstest;
//!
//! #[rstest]
//! #[tokio::test]
//! async fn starts_empty(#[future(awt)] mut tx: Tx) {
//!     let customers: i64 = sqlx::query_scalar("select count(*) from customers").fetch_one(&mut *tx).await.unwrap();
//!     assert_eq!(customers, 0);
//! }
//! # fn main() {}
//! ```

use crate::lane::Tx;

/// A transaction as [`ebbtide::tx`](crate::tx()) gives it.
///
/// # Panics
/// There is no transaction to be had; the message is the error's whole report.
#[rstest::fixture]
pub async fn tx() -> Tx {
    match crate::tx().await {
        Ok(tx) => tx,
        Err(error) => panic!("{error:?}"),
    }
}
