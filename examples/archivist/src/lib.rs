//! A grants archive: who may write, edit and award an output; and searches of old documents.
//!
//! Its tests once ran on SQLite, which accepts any text for an enum. [`before`] contains the enum
//! of that time.

mod archive;
pub mod before;
mod conversations;
mod enums;
mod outputs;

pub use archive::{documents_by_title, documents_of, resubmittable};
pub use conversations::{act_as, begin_conversation, messages};
pub use enums::{OutputStatus, OutputType, StyleType, UserRole};
pub use outputs::{Output, Request, RequestError, handle};
