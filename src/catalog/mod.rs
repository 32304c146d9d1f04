//! Reads `pg_catalog` into plain values, and compares the schemas of two databases.
//!
//! Our own schema and what belongs to extensions is left out everywhere.

mod database;
mod diff;
mod inside;
mod ledger;
mod object;
mod queries;
mod relations;
mod rows;
mod schema;
mod session;

pub(crate) use database::{DatabaseProperties, state as database_state};
pub use diff::{Difference, SchemaDiff};
pub(crate) use inside::Inside;
pub use ledger::LedgerClaim;
pub(crate) use ledger::{SQLX_LEDGER, is_ledger};
pub use object::{ObjectKind, SchemaObject};
pub(crate) use relations::{
    OWN_SCHEMA, RelationName, available_extension, enums, installed_extension,
    installed_extensions, sequences, tables, unstoppable_trigger,
};
pub(crate) use rows::{
    RowHolder, WITHOUT_SCANS, every_row, every_row_again, row_counts, row_holders,
};
pub use schema::Schema;
pub(crate) use schema::Snapshot;
pub(crate) use session::{custom_setting, custom_settings, keeps_session_state};
