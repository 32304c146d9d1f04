//! The message that begins a guarded transaction.

use super::lane_record;
use super::mark;
use crate::config::IsolationLevel;
use crate::guard::session::Session;
use crate::guard_names::{OPEN_TEST, TEST_SAVEPOINT};
use crate::names::Literal;

/// What the message that begins a guarded transaction depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub(crate) session: Session<'a>,
    /// The isolation level; without one, that of the session.
    pub(crate) level: Option<IsolationLevel>,
    /// The test's name, if the session has another `application_name`.
    pub(crate) test: Option<&'a str>,
    /// This process, if the lane's own table records its holder.
    pub(crate) holder: Option<&'a str>,
    /// The server's version, as `server_version_num`.
    pub(crate) version_num: u32,
    /// Whether the test's statements may not write: the role's own setting.
    pub(crate) is_read_only: bool,
}

impl Opening<'_> {
    /// The message. Its parts, in this order:
    ///
    /// 1. Settings, in a transaction of their own.
    /// 2. If the lane's own table records its holder, a committed transaction that marks the lane
    ///    as not clean. It violates the constraint `leased_to_another_process` if another process
    ///    has claimed the lane meanwhile.
    /// 3. `begin .. read write`: the session is read only by default.
    /// 4. The local setting and the row that prove at the end that this is still the same
    ///    transaction.
    /// 5. The savepoint that the close rolls back to after a statement of the test has failed.
    pub(in crate::guard) fn message(&self) -> String {
        let (settings, server, session_count) = match self.session {
            Session::New { server, settings } => (settings, server, None),
            Session::Used { session_count } => ("", None, session_count),
        };
        let settings = if settings.is_empty() {
            String::new()
        } else {
            // In a message of several statements, `begin` includes the statements before it in its
            // transaction, and the rollback would undo them.
            format!("begin; {settings}commit; ")
        };
        // Before `begin`, because this has to stay when the test is rolled back. In the same
        // message, because a lane that another process has claimed must not see the test's first
        // statement. The error ends the message before that statement.
        let enter = self.holder.map(lane_record::enter).unwrap_or_default();
        let level = self
            .level
            .map(|level| format!("isolation level {} ", level.as_sql()))
            .unwrap_or_default();
        // LOCAL: the rollback restores the name. The session keeps the name of its first test,
        // which the pool knows.
        let name = self
            .test
            .map(|test| format!("set local application_name = {}; ", Literal(test)))
            .unwrap_or_default();
        let set_mark = mark::set(session_count, self.version_num);
        // Null satisfies the check of the server's identity: a session that has passed it once
        // cannot be on another server.
        let identity = server.map_or("null".to_owned(), |identity| Literal(identity).to_string());
        // After ebbtide's own row. A transaction may become read-only at any time, and not
        // read-write again (https://www.postgresql.org/docs/current/sql-set-transaction.html).
        let read_only = if self.is_read_only {
            "set local transaction_read_only = on; "
        } else {
            ""
        };
        // The savepoint comes last. Rolling back to it keeps the mark and the row.
        format!(
            "{settings}{enter}begin {level}read write; {name}{set_mark}; \
             insert into {OPEN_TEST} values ({identity}); {read_only}{}",
            TEST_SAVEPOINT.set
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USED: Opening<'_> = Opening {
        session: Session::Used {
            session_count: Some(3),
        },
        level: None,
        test: None,
        holder: None,
        version_num: 170_000,
        is_read_only: false,
    };

    #[test]
    fn a_used_session_gets_only_the_transaction() {
        assert_eq!(
            USED.message(),
            "begin read write; set local ebbtide.test = 'open 3'; \
             insert into _ebbtide.open_test values (null); savepoint _ebbtide"
        );
    }

    #[test]
    fn what_must_outlive_the_rollback_is_committed_before_it_begins() {
        let opening = Opening {
            session: Session::New {
                server: Some("1a"),
                settings: "set jit = off; ",
            },
            level: Some(IsolationLevel::Serializable),
            test: Some("it's"),
            holder: Some("b"),
            version_num: 130_000,
            is_read_only: true,
        };
        assert_eq!(
            opening.message(),
            "begin; set jit = off; commit; \
             begin read write; set local synchronous_commit = off; \
             update _ebbtide.lane set clean = false, held = holder is not distinct from 'b'; \
             commit; \
             begin isolation level serializable read write; \
             set local application_name = 'it''s'; \
             select pg_catalog.set_config('ebbtide.test', pg_catalog.concat('open ', ''), true); \
             insert into _ebbtide.open_test values ('1a'); \
             set local transaction_read_only = on; savepoint _ebbtide"
        );
    }
}
