//! A grants archive: who may write, edit and award an output, and what is found in old documents.
//!
//! Its tests ran on SQLite, where an enum is any text. [`before`] is how its roles were sent then.

mod archive;
pub mod before;
mod enums;
mod outputs;

pub use archive::{documents_by_title, documents_of, resubmittable};
pub use enums::{OutputStatus, OutputType, StyleType, UserRole};
pub use outputs::{Output, Refusal, Request, handle};
