//! Fixtures for the crate `rstest`, with the feature `rstest`.
//!
//! # Examples
//! ```no_run
//! use ebbtide::{Tx, fixtures::tx};
//! use rstest::rstest;
//!
//! #[rstest]
//! #[tokio::test]
//! async fn starts_empty(#[future(awt)] mut tx: Tx) {
//!     let count = "select count(*) from customers";
//!     let customers: i64 = sqlx::query_scalar(count).fetch_one(&mut *tx).await.unwrap();
//!     assert_eq!(customers, 0);
//! }
//! # fn main() {}
//! ```

use crate::error::Result;
use crate::lane::{Database, Sandbox, Tx};

/// The transaction that [`ebbtide::tx`](crate::tx()) returns.
///
/// # Panics
/// `ebbtide::tx` fails. The message is the error's whole report.
#[rstest::fixture]
pub async fn tx() -> Tx {
    or_panic(crate::tx().await)
}

/// The pool that [`ebbtide::sandbox`](crate::sandbox()) returns.
///
/// # Panics
/// `ebbtide::sandbox` fails. The message is the error's whole report.
#[rstest::fixture]
pub async fn sandbox() -> Sandbox {
    or_panic(crate::sandbox().await)
}

/// The database that [`ebbtide::database`](crate::database()) returns.
///
/// # Panics
/// `ebbtide::database` fails. The message is the error's whole report.
#[rstest::fixture]
pub async fn database() -> Database {
    or_panic(crate::database().await)
}

fn or_panic<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error:?}"),
    }
}
