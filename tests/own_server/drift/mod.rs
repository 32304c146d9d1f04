//! What a lane has in common with its template, as `pg_dump`, the comparison and a session see it.
//!
//! These tests need a native server: they run its programs, or are superuser.

mod aspects;
mod dumps;
mod leftovers;
mod properties;
mod statistics;
mod templates;
