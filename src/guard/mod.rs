//! The guard of a lane: the schema `_ebbtide`, which every copy of a template inherits.

mod exchange;
mod schema;

pub(crate) use schema::{install, session_count_sql};
