//! Reads `pg_catalog` into plain values, and compares the schemas of two databases.
//!
//! Our own schema and what belongs to extensions is left out everywhere.

mod diff;
mod ledger;
mod object;
mod queries;
mod relations;
mod schema;
mod session;

pub use diff::{Difference, SchemaDiff};
pub use ledger::LedgerClaim;
pub(crate) use ledger::{LEDGER, is_ledger};
pub use object::{ObjectKind, SchemaObject};
pub(crate) use relations::{
    OWN_SCHEMA, RelationName, RowHolder, available_extension, enums, installed_extension, installed_extensions,
    row_counts, row_holders, sequences, tables, unstoppable_trigger,
};
pub use schema::Schema;
pub(crate) use schema::Snapshot;
pub(crate) use session::{custom_settings, keeps_session_state};
