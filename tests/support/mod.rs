//! Support for the integration tests.

pub mod alembic;
pub mod backend;
pub mod child_process;
pub mod difference;
pub mod pg_dump;
pub mod pool_sql;
pub mod process;
pub mod program;
pub mod random;
#[macro_use]
pub mod reports;
pub mod runtime;
pub mod salon;
pub mod schema_pieces;
mod scratch;
pub mod shop;
pub mod skip;
pub mod sql;
pub mod systems;
pub mod wait;

pub use backend::runs_natively;
pub(crate) use child_process::this_test;
pub use runtime::current_thread_runtime;
pub use scratch::{Scratch, names_in};
pub use wait::wait_until;
