//! The life of a test that the attribute `ebbtide::test` runs.
//!
//! ```text
//! #[ebbtide::test] --> run, or run_blocking
//!                        |
//!   arguments (TestArg) --> body --> failed? --> end (test_arg/end.rs) --> panic, or the output
//!         | error            | panic             ^
//!         +------------------+-------------------+   every way leads through the end
//! ```
//!
//! The run catches a panic of the body, because the checkouts must be closed before the test's
//! runtime is dropped. It resumes the panic afterwards, so `#[should_panic]` and the test runner
//! receive the panic unchanged.
//!
//! | file | noun |
//! |---|---|
//! | `attribute` | the attribute's options for one test |
//! | `argument` | one argument of a test |
//! | `run` | the run of a test, from its arguments to its end |
//! | `outcome` | whether the test has failed by its output |

mod argument;
mod attribute;
mod outcome;
mod run;

pub use argument::{MadeArgument, argument, argument_of_plan};
pub use attribute::Test;
pub use outcome::{OfAny, OfResult, Outcome};
pub use run::{run, run_blocking};
