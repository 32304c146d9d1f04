//! A lane that a test uses as a whole database, and what happens to it when the test ends.
//!
//! ```text
//! in use
//!   | close or drop: the pool is closed
//!   |-- a fork: its database is dropped
//!   |-- worn, or rewound: recopy in the background
//!   v
//! reset: other sessions end, the database gets a new name, rows are restored
//!   |-- proved equal: put_back
//!   |-- not proved equal: recopy in the background
//!   +-- error: recopy, awaited
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnection;

use super::checkout::OpenLane;
use super::in_use::LaneInUse;
use super::kept::{self, KeptDatabase};
use super::lane_use::LaneUse;
use super::lane_version::LaneVersion;
use super::leased::LaneConnection;
use super::request::LaneRequest;
use super::state_source::{CopyGate, OwnSessions, StateSource};
use crate::error::Result;
use crate::{clean_up, guard};

/// How long the test's own tasks may still use the pool's connections after its end.
const POOL_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A lane that a test uses as a whole database.
pub(super) struct OpenDatabase {
    pub(super) in_use: LaneInUse,
    pub(super) url: String,
    pub(super) sessions: OwnSessions,
    pub(super) version: LaneVersion,
    gate: CopyGate,
    /// Whether the database has been replaced, so that a reset cannot prove anything.
    is_rewound: AtomicBool,
}

impl OpenLane for OpenDatabase {
    fn in_use(&self) -> &LaneInUse {
        &self.in_use
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let lanes = self.in_use.lanes.clone();
            lanes.in_background(self.return_lane()).await
        })
    }

    fn keep(self: Box<Self>) -> BoxFuture<'static, Result<KeptDatabase>> {
        Box::pin(async move {
            // PostgreSQL does not rename a database while another session is on it. So the pool is
            // closed, and what remains is ended below.
            self.close_pool().await;
            // A dropped future may have left a copy of this state that still runs.
            self.gate.close().await;
            let mut connection = match self.sessions.take_lane() {
                Some(connection) => connection.into_inner(),
                None => self.connect().await?,
            };
            let lanes = &self.in_use.lanes;
            lanes
                .end_others(&mut connection)
                .await
                .map_err(|error| lanes.diagnose(kept::KEEP_STEP, error))?;
            kept::keep(self.in_use, connection).await
        })
    }
}

impl OpenDatabase {
    pub(super) async fn open(request: &LaneRequest) -> Result<Self> {
        let mut in_use = request.acquire(LaneUse::Whole).await?;
        let (lanes, lane) = (&in_use.lanes, &mut in_use.lane);
        // A lane that records its state in its own table was marked as clean when it became idle.
        // The opening message of a guarded transaction would mark the lane as in use, but this test
        // has no such transaction.
        if let (Some(connection), Some(holder)) = (&mut lane.connection, lane.lock.holder()) {
            let marked = guard::mark_dirty(connection.get(), holder).await;
            marked.map_err(|error| lanes.diagnose("entering a lane", error))?;
        }
        // The server has a single connection for tests, and the test's pool needs it. Or the
        // session is one that may not reset the lane.
        if !lane.admission.has_spare_connection() || lane.login != lanes.reset_login() {
            lane.connection = None;
        }
        Ok(Self::of(in_use, LaneVersion::default()))
    }

    /// A lane that is ready for its test, whose migrations are at a version.
    pub(super) fn of(mut in_use: LaneInUse, version: LaneVersion) -> Self {
        let conn = &in_use.lanes.setting().conn;
        Self {
            url: conn.url(in_use.lane.database.as_str()),
            sessions: OwnSessions::of_lane(in_use.lane.connection.take()),
            in_use,
            version,
            gate: CopyGate::default(),
            is_rewound: AtomicBool::new(false),
        }
    }

    /// The database, for a copy of its state.
    pub(super) fn source(&self) -> StateSource {
        StateSource {
            lanes: self.in_use.lanes.clone(),
            test: self.in_use.test.clone(),
            database: self.in_use.lane.database.clone(),
            version: self.version.clone(),
            sessions: self.sessions.clone(),
            gate: self.gate.clone(),
        }
    }

    /// Records that the database is about to be replaced. The next holder of the lane copies it.
    ///
    /// # Errors
    /// The lane lock is lost, or its file cannot be written.
    pub(super) fn begin_rewinding(&self) -> Result<()> {
        self.is_rewound.store(true, Ordering::Release);
        self.in_use.lane.lock.mark_unknown()
    }

    /// Gives the lane back to the pool, reset or for a new copy. Runs on the background runtime,
    /// because the test's runtime may end at any time.
    async fn return_lane(mut self: Box<Self>) -> Result<()> {
        // The pool first: each permit stands for a connection that may still be open.
        self.close_pool().await;
        self.in_use.lane.admission.shrink();
        // A dropped future may have left a copy of this state that still runs.
        self.gate.close().await;
        self.in_use.lane.connection = self.sessions.take_lane();
        if self.in_use.lane_use == LaneUse::Fork {
            return self.drop_fork().await;
        }
        let is_copied =
            self.in_use.lane.is_worn_by_commits() || self.is_rewound.load(Ordering::Acquire);
        // Such a lane is copied in any case, so a reset would be wasted.
        let reset = if is_copied {
            Ok(false)
        } else {
            self.reset().await
        };
        let LaneInUse {
            lanes, mut lane, ..
        } = self.in_use;
        match reset {
            Ok(true) => {
                lane.count_commit();
                lanes.put_back(lane)
            }
            // The next test can use another lane meanwhile.
            Ok(false) => {
                lanes.recopy_later(lane);
                Ok(())
            }
            // The test may have dropped the database or ended ebbtide's session. If instead the
            // server is gone, the copy fails and reports that.
            Err(_) => lanes.recopy(lane).await,
        }
    }

    /// Drops the database of a fork, which no other test can use.
    async fn drop_fork(self: Box<Self>) -> Result<()> {
        let LaneInUse { lanes, lane, .. } = self.in_use;
        let server = &lanes.setting().server;
        let admin = lanes.admin_connection().take(server).await;
        let failed = |error| lanes.diagnose("connecting to drop a fork", error);
        let mut admin = admin.map_err(failed)?;
        clean_up::drop_database(server, &mut admin, &lane.database).await?;
        lanes.admin_connection().put_back(admin);
        lane.lock.mark_unknown()?;
        lanes.release(lane);
        Ok(())
    }

    /// Resets the lane. Returns whether it is proved equal to the template.
    async fn reset(&mut self) -> Result<bool> {
        let connection = if let Some(connection) = self.in_use.lane.connection.take() {
            connection.into_inner()
        } else {
            // The lane was newly copied, or there was no permit for its own connection.
            self.in_use.lane.session_database = self.in_use.lane.database.clone();
            self.connect().await?
        };
        let (lanes, lane) = (&self.in_use.lanes, &mut self.in_use.lane);
        let reset = lanes
            .reset(&lane.lock, connection, &mut lane.database)
            .await?;
        lane.connection = reset.map(LaneConnection::New);
        lane.login = lanes.reset_login();
        Ok(lane.connection.is_some())
    }

    async fn connect(&self) -> Result<PgConnection> {
        let LaneInUse {
            lanes, lane, test, ..
        } = &self.in_use;
        lanes
            .connect_to_lane(&lane.database, test, lanes.reset_login())
            .await
    }

    #[expect(clippy::print_stderr, reason = "a failure report")]
    async fn close_pool(&self) {
        let Some(pool) = self.sessions.pool.get() else {
            return;
        };
        // Not an error: ending the other sessions, or dropping the database, ends these as well.
        if tokio::time::timeout(POOL_CLOSE_TIMEOUT, pool.close())
            .await
            .is_err()
        {
            eprintln!(
                "ebbtide: test {} is over, and something that it started still uses its pool: \
                 ebbtide ends these sessions now (end or await the task that holds them)",
                self.in_use.test
            );
        }
    }
}
