//! A lane that this process has locked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::postgres::PgConnection;

use super::active_tests::TestPresence;
use super::admission::Admission;
use super::login::Login;
use super::wear::{MAX_USES, USES_BETWEEN_SIZE_CHECKS, USES_PER_COMMIT};
use crate::conn::ConnParams;
use crate::guard;
use crate::lane_lock::LaneLock;
use crate::names::DatabaseName;

/// A private copy of the template, with its lane lock. If a lane is dropped without being put back,
/// its mark makes the next holder reset or copy the database.
pub(crate) struct Lane {
    pub(super) database: DatabaseName,
    // Fields are dropped in this order: the connection before the lock and before its permit. So no
    // other test gets either of them while the connection is open.
    pub(super) connection: Option<LaneConnection>,
    /// The session's `application_name`: the test for which it was opened.
    pub(super) session_name: String,
    /// The database's name when the session began. The server's log shows this name for as long as
    /// the session lasts.
    pub(super) session_database: DatabaseName,
    /// As which role the session is logged in.
    pub(super) login: Login,
    pub(super) lock: LaneLock,
    pub(super) uses: u32,
    /// How many sessions the database had ever had when the last test on this connection ended, if
    /// known.
    pub(super) session_count: Option<u64>,
    /// Whether a test that will be rolled back has read the lane's URL. Another client may use that
    /// URL later.
    pub(super) url_was_read: AtomicBool,
    /// The permits for the lane's connections.
    pub(super) admission: Admission,
    /// The registration of the test that has the lane, if a test has it.
    pub(super) presence: Option<TestPresence>,
    /// A clone of the pool's counter of locked lanes.
    pub(super) _held_count: Arc<()>,
}

/// The lane's one connection.
pub(super) enum LaneConnection {
    /// It has not had a guarded transaction.
    New(PgConnection),
    /// It has had a guarded transaction, and sqlx counts that transaction as open.
    Used(PgConnection),
    /// It belonged to a sandbox, so sqlx counts one level more.
    Nested(PgConnection),
    /// It goes through a relay that adds a savepoint to each statement. Other tests must not use
    /// it.
    Relayed(PgConnection),
}

impl LaneConnection {
    pub(super) fn get(&mut self) -> &mut PgConnection {
        match self {
            Self::New(connection)
            | Self::Used(connection)
            | Self::Nested(connection)
            | Self::Relayed(connection) => connection,
        }
    }

    pub(super) fn into_inner(self) -> PgConnection {
        match self {
            Self::New(connection)
            | Self::Used(connection)
            | Self::Nested(connection)
            | Self::Relayed(connection) => connection,
        }
    }
}

impl Lane {
    /// A URL of the lane's database whose sessions are read only. The lane remembers that a test
    /// has read it.
    pub(super) fn read_only_url(&self, conn: &ConnParams) -> String {
        self.url_was_read.store(true, Ordering::Release);
        conn.read_only().url(self.database.as_str())
    }

    /// Whether another client may have a URL of the lane.
    pub(super) fn has_url(&self) -> bool {
        self.url_was_read.load(Ordering::Acquire)
    }

    /// Whether the current use is the last one before the lane is copied again.
    pub(super) fn is_worn(&self) -> bool {
        self.uses.saturating_add(1) >= MAX_USES
    }

    /// Like [`is_worn`](Self::is_worn), if the current test may have committed.
    pub(super) fn is_worn_by_commits(&self) -> bool {
        self.uses.saturating_add(USES_PER_COMMIT) >= MAX_USES
    }

    /// Counts a test that was rolled back, and the rows that it wrote. Returns whether the tables
    /// may have grown so much that the planner chooses other plans.
    pub(super) fn count_rollback(&mut self, rows: u32) -> bool {
        // A check costs a message, so it follows only some of the tests.
        let before = self.uses;
        self.uses = self.uses.saturating_add(rows.max(1));
        // On an external server the lane's own table does not count rows, so the sizes are checked
        // after every write.
        before / USES_BETWEEN_SIZE_CHECKS != self.uses / USES_BETWEEN_SIZE_CHECKS
            || (self.lock.holder().is_some() && rows > 0)
    }

    /// Counts a test that committed, after a reset has undone it.
    pub(super) fn count_commit(&mut self) {
        self.uses = self.uses.saturating_add(USES_PER_COMMIT);
    }

    /// Whether the connection can serve another test. The database can in any case.
    pub(super) fn is_reusable(&self) -> bool {
        match &self.connection {
            None | Some(LaneConnection::Nested(_) | LaneConnection::Relayed(_)) => false,
            Some(LaneConnection::New(_)) => true,
            // If sqlx does not count the guarded transaction any more, the next test's `begin`
            // would send a real BEGIN.
            Some(LaneConnection::Used(connection)) => guard::is_transaction_counted(connection),
        }
    }
}
