//! How other clients of PostgreSQL use ebbtide: each file of `tests` is one of them.

/// The guide's code after a migration is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/migrating.md")]
pub mod migrating {}
