//! The errors by which a message reports the state of its transaction.

use crate::guard_names::SCHEMA;
use crate::sql_error::code;

/// `division_by_zero`: `1 / condition::int` in a message of ebbtide's fails if the condition does
/// not hold. So the server stops at that statement and does not execute the rest of the message.
pub(crate) const CONDITION_FAILED: &str = "22012";

/// Whether an error means that the session is not in the guarded transaction any more.
pub(crate) fn has_left_transaction(error: &sqlx::Error) -> bool {
    // no_active_sql_transaction, invalid_savepoint_specification
    // (https://www.postgresql.org/docs/current/errcodes-appendix.html).
    matches!(code(error), Some("25P01" | "3B001"))
}

/// Whether a statement in the server's log is one of ebbtide's own. Reports omit these, because an
/// error of ebbtide already states what their failure means.
pub(crate) fn is_own_statement(statement: &str) -> bool {
    statement.contains(SCHEMA)
}
