//! The messages that set a checkpoint within a guarded transaction and return to it.

use crate::guard_names::{
    CHECKPOINT_PREFIX, CHECKPOINT_STATE, REWIND, REWIND_SAVEPOINT, SANDBOX_SAVEPOINT,
};
use crate::names::Literal;

/// The savepoint of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckpointSavepoint {
    /// Of a `Tx`.
    OfTx(u64),
    /// Of a sandbox. When its connection returns to the pool, the savepoint of its statements ends,
    /// and would end this one with it. So another of the same name is set within this one.
    OfSandbox(u64),
}

impl CheckpointSavepoint {
    fn name(self) -> String {
        let (Self::OfTx(number) | Self::OfSandbox(number)) = self;
        format!("{CHECKPOINT_PREFIX}{number}")
    }

    /// What follows in the savepoint.
    fn enter(self) -> String {
        match self {
            Self::OfTx(_) => String::new(),
            Self::OfSandbox(_) => format!("; {}", SANDBOX_SAVEPOINT.set),
        }
    }

    /// Sets the savepoint, and reads what a rollback to it does not restore.
    pub(in crate::guard) fn set(self) -> String {
        // The savepoint comes first. If the function fails, rolling back to the savepoint leaves
        // the transaction usable.
        format!(
            "savepoint {}; select {CHECKPOINT_STATE}(){}",
            self.name(),
            self.enter()
        )
    }

    /// Removes the savepoint after [`set`](Self::set) has failed.
    pub(in crate::guard) fn unset(self) -> String {
        let name = self.name();
        format!("rollback to savepoint {name}; release savepoint {name}")
    }

    /// Returns to the savepoint from a transaction in which no statement has failed.
    pub(in crate::guard) fn rewind(self, state: &str) -> String {
        // A failed ROLLBACK TO fails the transaction, and `restore_after_missing` undoes that.
        format!("{}; {}", REWIND_SAVEPOINT.set, self.rewind_failed(state))
    }

    /// Returns to the savepoint. In a failed transaction the server rejects SAVEPOINT, so nothing
    /// comes first.
    pub(in crate::guard) fn rewind_failed(self, state: &str) -> String {
        format!(
            "rollback to savepoint {}; select {REWIND}({}){}",
            self.name(),
            Literal(state),
            self.enter()
        )
    }

    /// Undoes the rest of a rewind whose restoring function has failed.
    pub(in crate::guard) fn roll_back(self) -> String {
        format!("rollback to savepoint {}{}", self.name(), self.enter())
    }
}

/// Restores the transaction after [`CheckpointSavepoint::rewind`] has found no savepoint.
pub(in crate::guard) fn restore_after_missing() -> String {
    format!(
        "{}; {}",
        REWIND_SAVEPOINT.roll_back, REWIND_SAVEPOINT.release
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_quoted() {
        assert_eq!(
            CheckpointSavepoint::OfTx(3)
                .rewind(r#"{"statements": {"a": "prepare a as select '\\'"}}"#),
            "savepoint _ebbtide_rewind; rollback to savepoint _ebbtide_checkpoint_3; \
             select _ebbtide.rewind(\
             E'{\"statements\": {\"a\": \"prepare a as select ''\\\\\\\\''\"}}')"
        );
    }

    #[test]
    fn the_statements_of_a_sandbox_have_a_savepoint_within_that_of_the_checkpoint() {
        assert_eq!(
            CheckpointSavepoint::OfSandbox(1).set(),
            "savepoint _ebbtide_checkpoint_1; select _ebbtide.checkpoint_state(); \
             savepoint _sqlx_savepoint_1"
        );
    }
}
