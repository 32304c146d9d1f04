//! The names in the code that the attribute `ebbtide::test` expands to. Not a public API: it
//! changes without notice.

pub use tokio;

pub use crate::config::{Expect, IsolationLevel, Keep};
pub use crate::test_arg::{LaneNeed, PoolKind, ReservedLanes, reserve};
pub use crate::test_run::{
    MadeArgument, OfAny, OfResult, Outcome, Test, argument, argument_of_plan, run, run_blocking,
};
