//! The savepoint in which an application's statements outside its transactions run.

use crate::guard_names::{LOCALS, SANDBOX_SAVEPOINT, SCHEMA, Savepoint};

/// An SQL expression: whether there may be something that `_ebbtide.locals` ends. The check is
/// cheap because it parses no statements; it may be true without cause.
const LOCALS_MAY_EXIST: &str = "pg_catalog.current_setting('role') <> 'none' \
     or exists (select from pg_catalog.pg_cursor() c where not c.is_holdable and c.name <> '') \
     or exists (select from pg_catalog.pg_prepared_statement() p \
        where p.statement ilike '%local%' or p.statement ilike '%set_config%')";

/// Ends the savepoint and sets the next. Its row states whether [`LOCALS_MAY_EXIST`].
pub(in crate::guard) fn renew() -> String {
    // The release comes first. It fails with 25P02 if a statement has failed, and with 25P01 or
    // 3B001 if the application has left the transaction. In these cases the server does not execute
    // the rest of the message.
    let Savepoint { release, set, .. } = SANDBOX_SAVEPOINT;
    format!("{release}; select {LOCALS_MAY_EXIST} as {SCHEMA}; {set}")
}

/// Undoes what the application executed since the savepoint, which stays set.
pub(in crate::guard) fn undo() -> &'static str {
    SANDBOX_SAVEPOINT.roll_back
}

/// Reads the statements for [`end_locals`]; null if there are none.
pub(in crate::guard) fn locals() -> String {
    format!("select statements from {LOCALS}")
}

/// Executes what ends a role, cursors and local settings.
pub(in crate::guard) fn end_locals(statements: &str) -> String {
    // Between the two savepoints. A rollback to a savepoint undoes the SET and RESET within it
    // (https://www.postgresql.org/docs/current/sql-set.html), so a failed statement of the
    // application would restore the role.
    let Savepoint { release, set, .. } = SANDBOX_SAVEPOINT;
    format!("{release}; {statements}; {set}")
}
