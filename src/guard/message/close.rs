//! The messages that inspect a guarded transaction and end it.

use super::mark;
use crate::guard::session::SessionLogin;
use crate::guard_names::{
    CLOSING_SETTING, DEFERRABLE, END_SAVEPOINT, ESTIMATES_SEEN, OPEN_TEST, REWOUND,
    REWOUND_OF_ROLE, SCHEMA, TEST_SAVEPOINT,
};

/// Removes a timeout that the role has by itself.
const NO_TIMEOUT: &str = "set local statement_timeout = 0; ";
/// An SQL expression: whether the server counts what this session writes.
const IS_COUNTING: &str = "pg_catalog.current_setting('track_counts') = 'on'";
/// An SQL expression: how many rows of `pg_constraint` the test has written. 2606 is the identifier
/// of that catalog.
const CONSTRAINTS_WRITTEN: &str = "pg_catalog.pg_stat_get_xact_tuples_inserted(2606) \
     + pg_catalog.pg_stat_get_xact_tuples_updated(2606)";

/// Inspects and rolls back in one message. The first row has the text `1`, and the mark; the last
/// row is that of [`rewind`].
///
/// The message fails with [`CONDITION_FAILED`](crate::guard::CONDITION_FAILED) before the rollback
/// in three cases. The mark is gone, the test has changed a constraint, or the server does not
/// count what the test writes.
pub(in crate::guard) fn at_once(rewind: &str) -> String {
    // The savepoint lets the failed condition be undone without the test's own savepoints. Rolling
    // back to `_ebbtide` instead would undo what the test wrote, before constraints are checked.
    format!(
        "{}; select pg_catalog.concat(1 / (\
             {} and {IS_COUNTING} and {CONSTRAINTS_WRITTEN} = 0)::int, {}); {rewind}",
        END_SAVEPOINT.set,
        mark::is_set(),
        mark::value()
    )
}

/// The statement before an inspection.
#[derive(Debug, Clone, Copy)]
pub(in crate::guard) enum Before {
    /// The transaction is as the test left it.
    Nothing,
    /// The condition of [`at_once`] did not hold, which has aborted the transaction.
    UndoEnd,
    /// A statement of the test, or of the close, has aborted the transaction. This undoes what the
    /// test wrote.
    UndoTest,
}

impl Before {
    fn statement(self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::UndoEnd => format!("{}; ", END_SAVEPOINT.roll_back),
            Self::UndoTest => format!("{}; ", TEST_SAVEPOINT.roll_back),
        }
    }
}

/// Reads the state of the transaction. The second column is whether another client was connected,
/// and the third whether the mark is set. The fourth is the role, and the last whether the
/// constraints are certainly the template's.
pub(in crate::guard) fn inspect(before: Before, version_num: u32) -> String {
    // Within a transaction the server may answer from a snapshot of its statistics, so the message
    // discards the snapshot
    // (https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-VIEWS).
    //
    // The last column has the schema's name. A report and a cancellation recognise ebbtide's own
    // statements by that text, and the rest of the message may lack it.
    let value = mark::value();
    format!(
        "{}select pg_catalog.pg_stat_clear_snapshot(), \
         {value} is distinct from {}, {}, \
         current_user::pg_catalog.text, {IS_COUNTING} and {CONSTRAINTS_WRITTEN} = 0 as {SCHEMA}",
        before.statement(),
        mark::with_count_of_now(version_num),
        mark::is_set()
    )
}

/// Reads the argument of `SET CONSTRAINTS`; null if there is no deferrable constraint.
pub(in crate::guard) fn deferrable() -> String {
    format!("select names from {DEFERRABLE}")
}

/// Checks what a commit would have checked. `names` is the argument of `SET CONSTRAINTS`.
pub(in crate::guard) fn check_constraints(names: &str) -> String {
    // SET CONSTRAINTS .. IMMEDIATE acts on the changes since the transaction began
    // (https://www.postgresql.org/docs/current/sql-set-constraints.html). It also fires the guard's
    // own trigger, which the setting makes accept the statement.
    format!("set local {CLOSING_SETTING} = 'on'; set constraints {names} immediate; ")
}

/// Rolls back, undoes what rollback does not undo, and reads what is left: one row with one text,
/// for [`Remains`](crate::guard::Remains).
///
/// What rollback does not undo is not transactional: sequences, advisory locks, the seed of
/// `random()`. A second transaction restores these, and a rollback ends that one, too. So no commit
/// is needed.
///
/// A session of another role reads another view, and its role may have a `statement_timeout`.
pub(in crate::guard) fn rewind(seed: f64, version_num: u32, login: SessionLogin) -> String {
    // The session's statistics reach the server's after a delay. Without a flush, the next test's
    // counts would include those of this test
    // (https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-VIEWS).
    let flush = if version_num >= 150_000 {
        ", pg_catalog.pg_stat_force_next_flush()"
    } else {
        ""
    };
    // The view is read in the same message as the rollback. At the end of a message, the session
    // passes its counts on and starts from zero. The columns that are read come before the
    // functions that only act.
    //
    // Session-level advisory locks survive a rollback
    // (https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS).
    //
    // DEALLOCATE follows the view, because the view reads the session's prepared statements.
    // DISCARD SEQUENCES follows it, because the view's `setval` changes what `currval` returns
    // (https://www.postgresql.org/docs/current/sql-discard.html).
    let (view, no_timeout) = match login {
        SessionLogin::Administrator => (REWOUND, ""),
        SessionLogin::OtherRole => (REWOUND_OF_ROLE, NO_TIMEOUT),
    };
    format!(
        "rollback; begin read write; {no_timeout}\
         select pg_catalog.concat_ws(' ', rows, estimates, session, {session_count}, restored, \
         pg_catalog.pg_advisory_unlock_all(), pg_catalog.setseed({seed}){flush}) \
         from {view}; \
         rollback; discard sequences; deallocate all",
        session_count = mark::session_count(version_num)
    )
}

/// Reads whether the inputs of the planner differ from the template's.
pub(in crate::guard) fn estimates_seen() -> String {
    format!("select seen from {ESTIMATES_SEEN}")
}

/// Commits the guarded transaction, so that a person can inspect what the test wrote.
pub(in crate::guard) fn commit() -> String {
    // The trigger accepts the commit because of the setting. The trigger's row is deleted, so that
    // a person who inspects the database does not find it. The release proves that this is the
    // test's own transaction: in any other it fails with 25P01 or 3B001.
    //
    // In a failed transaction the first statement fails with 25P02. A COMMIT alone would roll back
    // and report success (https://www.postgresql.org/docs/current/sql-commit.html).
    format!(
        "set local {CLOSING_SETTING} = 'on'; {}; delete from {OPEN_TEST}; commit",
        TEST_SAVEPOINT.release
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_of_another_role_reads_the_view_for_roles() {
        let message = rewind(0.5, 170_000, SessionLogin::OtherRole);
        assert!(
            message.contains("set local statement_timeout = 0; select"),
            "{message}"
        );
        assert!(
            message.contains("from _ebbtide.rewound_of_role;"),
            "{message}"
        );
    }

    #[test]
    fn every_message_is_recognised_as_ebbtides_own() {
        let rewind = rewind(0.5, 170_000, SessionLogin::Administrator);
        let messages = [
            at_once(&rewind),
            inspect(Before::Nothing, 170_000),
            inspect(Before::UndoEnd, 120_000),
            inspect(Before::UndoTest, 170_000),
            deferrable(),
            format!("{}{rewind}", check_constraints("all")),
            mark::has_row(),
            estimates_seen(),
            commit(),
            rewind,
        ];
        for message in messages {
            assert!(message.contains(SCHEMA), "{message}");
        }
    }

    #[test]
    fn the_usual_end_of_a_test_is_one_message() {
        assert_eq!(
            at_once(&rewind(0.5, 130_000, SessionLogin::Administrator)),
            "savepoint _ebbtide_end; \
             select pg_catalog.concat(1 / (\
             coalesce(pg_catalog.starts_with(pg_catalog.current_setting('ebbtide.test', true), 'open '), false) \
             and pg_catalog.current_setting('track_counts') = 'on' \
             and pg_catalog.pg_stat_get_xact_tuples_inserted(2606) \
             + pg_catalog.pg_stat_get_xact_tuples_updated(2606) = 0)::int, \
             pg_catalog.current_setting('ebbtide.test', true)); \
             rollback; begin read write; \
             select pg_catalog.concat_ws(' ', rows, estimates, session, '', restored, \
             pg_catalog.pg_advisory_unlock_all(), pg_catalog.setseed(0.5)) from _ebbtide.rewound; \
             rollback; discard sequences; deallocate all"
        );
    }
}
