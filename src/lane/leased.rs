//! A lane that this process holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::postgres::PgConnection;

use super::active_tests::TestPresence;
use super::admission::Admission;
use super::guard;
use crate::conn::ConnParams;
use crate::lane_lock::LaneLock;
use crate::names::DatabaseName;

/// Tests after which a lane is copied anew: rolled back rows stay in its tables as dead ones.
pub(super) const USES: u32 = 5_000;
/// How much more a test that committed wears it out: each reset leaves dead rows in the catalogs, and empty files that
/// the server removes when the lane is dropped.
const COMMITTED: u32 = 10;
/// Rows after which the size of the tables is looked at.
const ROWS_BETWEEN_LOOKS: u32 = 32;

/// A private copy of the template, leased to its holder. Dropped without being returned, it is made equal to the
/// template before the next use.
pub(crate) struct Lane {
    pub(super) database: DatabaseName,
    pub(super) connection: Option<LaneConnection>,
    /// The session's `application_name`: the test that it was made for.
    pub(super) session_name: String,
    /// The database's name when the session began, which the server's log shows for as long as it lasts.
    pub(super) session_database: DatabaseName,
    pub(super) lease: LaneLock,
    pub(super) uses: u32,
    /// How many sessions the database had had at the end of the last test that used the connection, if that is known.
    pub(super) sessions: Option<u64>,
    /// Whether a test that is rolled back was given a URL of it, which another client may keep.
    pub(super) has_url: AtomicBool,
    /// The right to its connections.
    pub(super) admission: Admission,
    /// While a test has it.
    pub(super) presence: Option<TestPresence>,
    /// Counted as long as it lives.
    pub(super) _held: Arc<()>,
}

/// The lane's one connection.
pub(super) enum LaneConnection {
    /// Has not seen a transaction of ours.
    New(PgConnection),
    Used(PgConnection),
    /// Of a sandbox: the driver counts one level more.
    Nested(PgConnection),
    /// With a savepoint for each statement, which the next test may not want.
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
    /// A URL of the lane's database for a client that only reads.
    pub(super) fn looking_url(&self, conn: &ConnParams) -> String {
        self.has_url.store(true, Ordering::Release);
        conn.looking().url(self.database.as_str())
    }

    /// Whether another client may have its name.
    pub(super) fn is_known(&self) -> bool {
        self.has_url.load(Ordering::Acquire)
    }

    /// Whether this use is its last.
    pub(super) fn is_worn(&self) -> bool {
        self.uses.saturating_add(1) >= USES
    }

    /// The same for a test that may have committed.
    pub(super) fn is_worn_by_commits(&self) -> bool {
        self.uses.saturating_add(COMMITTED) >= USES
    }

    /// Counts a test that was rolled back, and the rows that it wrote. Returns whether its tables may have grown so much
    /// that the planner notices.
    pub(super) fn rolled_back(&mut self, rows: u32) -> bool {
        let before = self.uses;
        self.uses = self.uses.saturating_add(rows.max(1));
        // A lane that records its holder itself does not record rows.
        before / ROWS_BETWEEN_LOOKS != self.uses / ROWS_BETWEEN_LOOKS
            || (self.lease.holder().is_some() && rows > 0)
    }

    /// Counts a test that committed, and was undone.
    pub(super) fn committed(&mut self) {
        self.uses = self.uses.saturating_add(COMMITTED);
    }

    /// A connection that the driver has lost count of, or that is not a plain one, is not used again; its database is.
    pub(super) fn is_reusable(&self) -> bool {
        match &self.connection {
            None | Some(LaneConnection::Nested(_) | LaneConnection::Relayed(_)) => false,
            Some(LaneConnection::New(_)) => true,
            Some(LaneConnection::Used(connection)) => guard::is_reusable(connection),
        }
    }
}
