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

use crate::error::Result;
use crate::lane::{Database, Sandbox, Tx};

/// A transaction as [`ebbtide::tx`](crate::tx()) gives it.
///
/// # Panics
/// There is no transaction to be had; the message is the error's whole report.
#[rstest::fixture]
pub async fn tx() -> Tx {
    had(crate::tx().await)
}

/// A pool on a transaction as [`ebbtide::sandbox`](crate::sandbox()) gives it.
///
/// # Panics
/// There is none to be had; the message is the error's whole report.
#[rstest::fixture]
pub async fn sandbox() -> Sandbox {
    had(crate::sandbox().await)
}

/// A database as [`ebbtide::database`](crate::database()) gives it.
///
/// # Panics
/// There is none to be had; the message is the error's whole report.
#[rstest::fixture]
pub async fn database() -> Database {
    had(crate::database().await)
}

fn had<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error:?}"),
    }
}
