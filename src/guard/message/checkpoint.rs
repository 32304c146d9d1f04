//! The messages that set a checkpoint within a guarded transaction and return to it.

use crate::guard_names::{CHECKPOINT_PREFIX, CHECKPOINT_STATE, REWIND, REWIND_SAVEPOINT};
use crate::names::Literal;

/// Sets the savepoint, and reads what a rollback to it does not restore.
pub(in crate::guard) fn set(number: u64) -> String {
    // The savepoint comes first. If the function fails, rolling back to the savepoint leaves the
    // transaction usable.
    format!("savepoint {CHECKPOINT_PREFIX}{number}; select {CHECKPOINT_STATE}()")
}

/// Removes the savepoint after [`set`] has failed.
pub(in crate::guard) fn unset(number: u64) -> String {
    format!(
        "{}; release savepoint {CHECKPOINT_PREFIX}{number}",
        roll_back(number)
    )
}

/// Returns to the savepoint from a transaction in which no statement has failed.
pub(in crate::guard) fn rewind(number: u64, state: &str) -> String {
    // A failed ROLLBACK TO fails the transaction, and `restore_after_missing` undoes that.
    format!("{}; {}", REWIND_SAVEPOINT.set, rewind_failed(number, state))
}

/// Returns to the savepoint. In a failed transaction the server rejects SAVEPOINT, so nothing
/// comes first.
pub(in crate::guard) fn rewind_failed(number: u64, state: &str) -> String {
    format!("{}; select {REWIND}({})", roll_back(number), Literal(state))
}

/// Restores the transaction after [`rewind`] has found no savepoint.
pub(in crate::guard) fn restore_after_missing() -> String {
    format!(
        "{}; {}",
        REWIND_SAVEPOINT.roll_back, REWIND_SAVEPOINT.release
    )
}

/// Undoes the rest of a rewind whose last statement has failed.
pub(in crate::guard) fn roll_back(number: u64) -> String {
    format!("rollback to savepoint {CHECKPOINT_PREFIX}{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_quoted() {
        assert_eq!(
            rewind(3, r#"{"statements": {"a": "prepare a as select '\\'"}}"#),
            "savepoint _ebbtide_rewind; rollback to savepoint _ebbtide_checkpoint_3; \
             select _ebbtide.rewind(\
             E'{\"statements\": {\"a\": \"prepare a as select ''\\\\\\\\''\"}}')"
        );
    }
}
