//! Finds a lane for a test: an idle one of this process, or a free one that it locks and prepares.
//!
//! ```text
//!  acquire
//!     |  an idle lane of this process, unless the test needs a whole database ---->  hand_out
//!     v
//!  admit: wait for the permits
//!     v
//!  take_idle <-----------------------------------------+
//!     |  an idle lane of this process ---------------- | ------------------------->  hand_out
//!     v                                                |
//!  try_lock_any                                        |
//!     |  locked: prepare_in_background --------------- | ------------------------->  hand_out
//!     |     |  error that can go away                  |
//!     v     v                                          |
//!  wait for a returned lane, at most for an interval --+
//!     |  no test makes progress
//!     v
//!  error
//! ```

use std::io::Write as _;
use std::sync::Once;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::admission::{Admission, STALL_TIMEOUT};
use super::lane_use::LaneUse;
use super::leased::{Lane, LaneConnection};
use super::login::Login;
use super::pool::LanePool;
use super::prepared_lane::PreparedLane;
use super::reservation::Reservation;
use crate::error::{Error, ErrorKind, Result};
use crate::lane_lock::{LaneLock, LaneState};

const LANE_LOCK_TIMEOUT: Duration = Duration::from_mins(1);
/// How often a test looks for a free lane while all lanes are locked.
const LANE_LOCK_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How often a test retries after the server had no connection or no disk space left.
const PREPARE_RETRY_INTERVAL: Duration = Duration::from_millis(100);

impl LanePool {
    /// Returns a lane that equals the template and is marked as in use.
    ///
    /// A test first waits for its permits (see `admit`), unless it has reserved them, then for a
    /// lane. An idle lane of this process needs neither a permit nor preparation. Otherwise the
    /// loop locks any free lane and prepares it. The call fails only when no test makes progress.
    ///
    /// # Errors
    /// The server is gone, the lane cannot be prepared, or no lane or connection becomes free in
    /// time.
    #[tracing::instrument(name = "lane.lease", level = "debug", skip(self, reservation))]
    pub(super) async fn acquire(
        &self,
        test: &str,
        lane_use: LaneUse,
        reservation: Option<&Reservation>,
    ) -> Result<Lane> {
        // An idle lane already holds its one permit. A whole database needs several permits. The
        // test waits without holding any, because two tests that each hold some could wait for each
        // other for ever.
        if lane_use != LaneUse::Whole
            && let Some(lane) = self.take_idle(lane_use)?
        {
            return Ok(self.hand_out(lane, test));
        }
        let reserved = reservation.and_then(|reservation| reservation.admission(test, lane_use));
        let mut admission = if let Some(reserved) = reserved {
            reserved
        } else {
            let wanted = lane_use.max_connections(self.permits().capacity());
            self.admit(test, wanted).await?
        };
        let began = Instant::now();
        let mut slot = self.setting().slot;
        loop {
            if let Some(mut lane) = self.take_idle(lane_use)? {
                // An idle lane has a permit of its own. Replacing its admission releases that one.
                lane.admission = admission;
                return Ok(self.hand_out(lane, test));
            }
            let pause = match self.try_lock_any(lane_use, slot).await? {
                Some(lock) => {
                    // The next test may collect permits while this lane is prepared.
                    admission.end_turn();
                    match self
                        .prepare_in_background(lock, test, lane_use, admission)
                        .await
                    {
                        Ok(lane) => return Ok(self.hand_out(lane, test)),
                        Err((error, returned)) => {
                            let may_wait = began.elapsed() < STALL_TIMEOUT
                                || self.others_make_progress().await?;
                            if !may_wait || !self.is_transient(&error).await? {
                                return Err(error);
                            }
                            admission = returned;
                            if error.kind() == ErrorKind::OutOfSpace {
                                note_shared_lanes(&error);
                                // The lane of this slot needs a copy, and those of others may not.
                                slot = None;
                            }
                            // Other programs may use up the server's connections, and other lanes
                            // its disk. The idle lanes of this process use both.
                            while self.close_one_idle() {}
                            PREPARE_RETRY_INTERVAL
                        }
                    }
                }
                // A test that makes progress may still return its lane after the timeout.
                None if began.elapsed() >= LANE_LOCK_TIMEOUT
                    && !self.others_make_progress().await? =>
                {
                    return Err(no_free_lane(lane_use));
                }
                None => LANE_LOCK_POLL_INTERVAL,
            };
            let pool = self.clone();
            // Only lanes of this process notify: `notify_one` stores a notification for a test that
            // does not wait yet, so none is missed. Lanes that another process unlocks are found by
            // polling, hence the timeout. It runs on the background runtime, because the test may
            // have paused its own tokio clock.
            let wait = self.setting().runtime.spawn(async move {
                let notified = pool.lane_returned().notified();
                // After a timeout, too, the next iteration looks for a lane.
                let _ = tokio::time::timeout(pause, notified).await;
            });
            // The same holds if the background runtime has ended.
            let _ = wait.await;
        }
    }

    /// Takes an idle lane whose number permits this use, if there is one, and marks it as in use.
    fn take_idle(&self, lane_use: LaneUse) -> Result<Option<Lane>> {
        let Some(lane) = self.idle_for(lane_use) else {
            return Ok(None);
        };
        // Before the test's first statement: if this process is killed later, the next holder
        // copies the lane.
        lane.lock
            .mark(lane_use.state_in_use(), lane.uses, &lane.database)?;
        Ok(Some(lane))
    }

    /// Locks a lane that no process holds: the lane of nextest's slot first, then lanes that need
    /// no copy, then any.
    async fn try_lock_any(
        &self,
        lane_use: LaneUse,
        slot: Option<usize>,
    ) -> Result<Option<LaneLock>> {
        let lane_locks = self.lane_locks();
        let limit = lane_use.max_lanes();
        let slot = slot.map(|slot| slot % limit);
        let mut existing = lane_locks.existing().await?;
        if self.is_first_search() {
            self.sweep_state_copies(&existing).await?;
        }
        existing.retain(|number| *number < limit);
        // Processes that nextest runs in parallel have different slots. Each takes the lane of its
        // slot even if that needs a copy, so the processes do not compete for the same lanes.
        for number in slot.into_iter().chain(existing.iter().copied()) {
            if let Some(lock) = lane_locks.try_lock(number).await?
                && (lock.state() != Some(LaneState::Unknown) || Some(number) == slot)
            {
                return Ok(Some(lock));
            }
        }
        // Now a lane that needs a copy. The existing ones come first: a copy replaces their
        // database, and a lane with another number adds one.
        for number in existing
            .iter()
            .copied()
            .chain((0..limit).filter(|number| !existing.contains(number)))
        {
            if let Some(lock) = lane_locks.try_lock(number).await? {
                return Ok(Some(lock));
            }
        }
        Ok(None)
    }

    /// Prepares a locked lane on the background runtime. The test's own runtime may end before the
    /// lane's connection is closed, and a connection fails once its runtime has ended. An error
    /// returns the admission, so that the caller can try again with the permits that it has.
    async fn prepare_in_background(
        &self,
        lock: LaneLock,
        test: &str,
        lane_use: LaneUse,
        admission: Admission,
    ) -> Result<Lane, (Error, Admission)> {
        let (pool, test) = (self.clone(), test.to_owned());
        // Counted during preparation, too: an error states for how many lanes this process needs
        // connections.
        let held_lane = self.held_count();
        let preparing = async move {
            match pool.prepare(&lock, &test, lane_use).await {
                Ok((prepared, connection)) => Ok(Ok(Lane {
                    session_database: prepared.session_database,
                    login: prepared.login,
                    database: prepared.database,
                    connection,
                    session_name: test,
                    lock,
                    uses: prepared.uses,
                    session_count: None,
                    url_was_read: AtomicBool::new(false),
                    admission,
                    presence: None,
                    _held_count: held_lane,
                })),
                Err(error) => Ok(Err((error, admission))),
            }
        };
        // If the caller's future is dropped here, the task still runs to its end. The task then
        // drops the lane, which unlocks the lane.
        match self.in_background(preparing).await {
            Ok(prepared) => prepared,
            // The background runtime has ended and dropped the admission.
            Err(error) => Err((error, Admission::default())),
        }
    }

    /// Makes the database of a locked lane equal to the template and marks the lane as in use.
    async fn prepare(
        &self,
        lock: &LaneLock,
        test: &str,
        lane_use: LaneUse,
    ) -> Result<(PreparedLane, Option<LaneConnection>)> {
        // A sandbox and a relay open their own connections. If another client has dropped the
        // database, they find that then, and call `restore_missing`.
        let unchecked = match (lane_use, lock.state()) {
            (LaneUse::Sandbox | LaneUse::Relayed, Some(LaneState::Equal)) => {
                lock.database(&self.setting().fingerprint).await?
            }
            _ => None,
        };
        let mut prepared = match unchecked {
            Some(database) => PreparedLane {
                session_database: database.clone(),
                database,
                uses: lock.uses(),
                connection: None,
                login: Login::Test,
            },
            None => self.make_equal_to_template(lock, test, lane_use).await?,
        };
        // Before a session of the test connects, because this process may be killed after that.
        lock.mark(lane_use.state_in_use(), prepared.uses, &prepared.database)?;
        let mut connection = prepared.connection.take();
        if lane_use == LaneUse::Transaction
            && (connection.is_none() || prepared.login != Login::Test)
        {
            // Before the new session begins: the test has a permit for one connection.
            if let Some(connection) = connection.take() {
                let _ = connection.close().await;
            }
            prepared.login = Login::Test;
            let connected = self
                .connect_to_lane(&prepared.database, test, Login::Test)
                .await;
            connection = Some(connected?);
        }
        self.note_known_bypass(connection.as_mut()).await?;
        if self.needs_rights() {
            self.read_rights_in(&prepared, connection.as_mut(), test)
                .await?;
        }
        Ok((prepared, connection.map(LaneConnection::New)))
    }

    /// Reads what the role of tests may do, in its session on the lane or in another one, so that a
    /// role that cannot log in fails before the test begins.
    async fn read_rights_in(
        &self,
        prepared: &PreparedLane,
        connection: Option<&mut PgConnection>,
        test: &str,
    ) -> Result<()> {
        if let Some(connection) = connection.filter(|_| prepared.login == Login::Test) {
            return self.read_rights(connection).await;
        }
        let database = &prepared.database;
        let mut connection = self.connect_to_lane(database, test, Login::Test).await?;
        self.read_rights(&mut connection).await?;
        // If closing fails, the server ends the session when the socket closes.
        let _ = connection.close().await;
        Ok(())
    }

    /// Whether an error can go away while the test waits.
    async fn is_transient(&self, error: &Error) -> Result<bool> {
        Ok(match error.kind() {
            // A connection becomes free when a test or another program closes one.
            ErrorKind::OutOfConnections => true,
            // Disk space becomes free only if another lane exists that can be returned and dropped.
            ErrorKind::OutOfSpace => self.lane_locks().existing().await?.len() > 1,
            _ => false,
        })
    }
}

/// Prints once for this process why its tests wait for the lanes of others.
fn note_shared_lanes(error: &Error) {
    static PRINTED: Once = Once::new();
    PRINTED.call_once(|| {
        // Not `eprintln!`: the test harness would capture it for the test that runs first. If
        // stderr is closed, no person reads it.
        let _ = writeln!(
            std::io::stderr(),
            "ebbtide: tests share the databases that exist, because there is no space for another \
             one: {error}; {}",
            error.help().unwrap_or_default()
        );
    });
}

fn no_free_lane(lane_use: LaneUse) -> Error {
    Error::new(
        ErrorKind::Timeout,
        format!(
            "no lane became free within {} s: all {} are in use",
            LANE_LOCK_TIMEOUT.as_secs(),
            lane_use.max_lanes()
        ),
    )
    .with_help(format!(
        "run fewer tests at once, or look for tests that keep their `{}` in a static",
        lane_use.public_type()
    ))
}
