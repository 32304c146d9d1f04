//! Reads `pg_catalog` into plain values, and compares the schemas of two databases.
//!
//! The schema `_ebbtide` and objects that belong to extensions are left out everywhere. A
//! comparison
//! includes changed privileges of such objects, as `pg_dump` does.

mod aspect;
mod contents;
mod database;
mod definition;
mod diff;
mod inside;
mod ledger;
mod ledger_table;
mod object;
mod queries;
mod relations;
mod role_rights;
mod row_security;
mod rows;
mod schema;
mod session;

pub use aspect::Aspect;
pub(crate) use contents::{
    LARGE_OBJECT_PAGES, Relations, catalog_state, large_objects, sequence_positions,
};
pub(crate) use database::{DatabaseProperties, state as database_state};
pub use diff::{Difference, SchemaDiff};
pub(crate) use inside::InsideProperties;
pub use ledger::LedgerClaim;
pub(crate) use ledger::{LedgerLayout, ledger_names};
pub(crate) use ledger_table::{Columns, places};
pub use object::{ObjectKind, SchemaObject};
pub(crate) use relations::{
    RelationName, always_firing_trigger, available_extension, enums, installed_extension,
    installed_extensions, names_of_relations, sequences, tables,
};
pub(crate) use role_rights::RoleRights;
pub use row_security::TableSecurity;
pub(crate) use row_security::exemptions;
pub(crate) use rows::{
    DISABLE_SEQUENTIAL_SCANS, RowHolder, every_row, every_row_repeatedly, row_counts, row_holders,
};
pub use schema::Schema;
pub(crate) use schema::Snapshot;
pub(crate) use session::{custom_setting, custom_settings, is_superuser, keeps_session_state};
