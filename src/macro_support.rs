//! The names in the code that the attribute `ebbtide::test` expands to. Not a public API: it
//! changes without notice.

pub use tokio;

pub use crate::config::{Expect, IsolationLevel, Keep};
pub use crate::test_arg::PoolKind;
pub use crate::test_run::{OfAny, OfResult, Outcome, Test, argument, run, run_blocking};
