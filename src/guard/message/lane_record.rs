//! The lane's own table, which records its state on an external server.

use crate::guard_names::LANE;
use crate::names::Literal;

/// The message that records the holder, if the lane is clean and has fewer than `max_uses` uses.
/// The server's answer counts one row if this process now holds the lane.
pub(in crate::guard) fn claim(holder: &str, max_uses: u32) -> String {
    // One UPDATE checks and records: of two processes, the second waits for the first's row lock
    // and then checks the new row
    // (https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED).
    in_own_transaction(&format!(
        "update {LANE} set clean = false, holder = {} where clean and uses < {max_uses}; ",
        Literal(holder)
    ))
}

/// Marks the lane as not clean. Violates the constraint `leased_to_another_process` if another
/// process has claimed the lane.
pub(in crate::guard) fn enter(holder: &str) -> String {
    in_own_transaction(&format!(
        "update {LANE} set clean = false, held = holder is not distinct from {}; ",
        Literal(holder)
    ))
}

/// Marks the lane as clean.
pub(in crate::guard) fn leave(holder: &str) -> String {
    in_own_transaction(&set_clean(holder))
}

/// The statement that marks the lane as clean, for a transaction that has something else to commit.
pub(super) fn set_clean(holder: &str) -> String {
    format!(
        "update {LANE} set clean = true, uses = uses + 1 where holder = {}; ",
        Literal(holder)
    )
}

/// Marks the lane as not clean, without regard to its holder.
pub(in crate::guard) fn mark_unfinished() -> String {
    format!("update {LANE} set clean = false")
}

/// The test's rollback does not undo what a transaction of its own has committed.
fn in_own_transaction(statement: &str) -> String {
    // READ WRITE: the sessions of tests are read only by default.
    //
    // Without a wait for the disk: the write-ahead log is written in order. If a commit of the test
    // survives a crash of the server, this earlier record does, too
    // (https://www.postgresql.org/docs/current/wal-async-commit.html).
    format!("begin read write; set local synchronous_commit = off; {statement}commit; ")
}
