//! The message that undoes what a test has committed.

use super::lane_record;
use crate::guard_names::RESET;

/// The message that makes the lane equal to the template and, with a `holder`, marks it as clean in
/// its own table. EB001: the lane needs a new copy. EB002: the database must be dropped at once.
pub(crate) fn reset_message(holder: Option<&str>) -> String {
    // In the transaction of the reset. If the reset fails, or a crash of the server undoes it, the
    // lane must not be marked as clean.
    let leave = holder.map(lane_record::call_leave).unwrap_or_default();
    // The check comes first: the test may have replaced the procedure, which checks everything
    // else.
    format!(
        "begin read write; set local synchronous_commit = off; {PROCEDURES_UNCHANGED}; \
         call {RESET}(); {leave}commit"
    )
}

/// Fails with [`CONDITION_FAILED`](crate::guard::CONDITION_FAILED) if a row of `pg_proc`, whose
/// identifier is 1255, was written since the copy.
const PROCEDURES_UNCHANGED: &str = "select 1 / (\
     pg_stat_get_tuples_inserted(1255) + pg_stat_get_tuples_updated(1255) \
     + pg_stat_get_tuples_deleted(1255) = 0)::int";
