//! How other PostgreSQL clients use ebbtide. Most files in `tests` are about one client.

/// A doctest compiles and runs the guide's code blocks, except those from before the migration.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/migrating.md")]
pub mod migrating {}

/// A doctest compiles the page's code.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/isolation.md")]
pub mod isolation {}
