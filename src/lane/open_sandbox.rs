//! A lane whose one connection is inside a guarded transaction and belongs to a pool.
//!
//! ```text
//! connect: the keeper occupies the second slot; the first connection opens the transaction
//!    |
//!    v                before_acquire
//! released ---------------------------------> acquired by the application
//!    ^ |                                         |
//!    | |                                         +-- 25P01 or 3B001 at the release: escaped
//!    | |      after_release: renew_savepoint     +-- closed or detached: closed
//!    +-|-----------------------------------------+
//!      |
//!      | close: acquire_released
//!      +-- acquired within RELEASE_TIMEOUT: open_tx::close, and the lane is put back
//!      +-- escaped: an error; the lane is copied before its next use
//!      +-- closed: the server has rolled back; the lane is reset
//!      +-- still acquired: an error; its session is ended, the lane is copied before its next use
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::active_tests::TestPresence;
use super::checkout::OpenLane;
use super::doorman::{self, Doorman, Occupancy, REFUSED_SQLSTATE, SecondSlot};
use super::in_use::LaneInUse;
use super::kept::{self, KeptDatabase};
use super::lane_use::LaneUse;
use super::leased::LaneConnection;
use super::login::Login;
use super::open_tx;
use super::pool::LanePool;
use super::prepare;
use super::request::LaneRequest;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{self, Opening, Session};
use crate::sql_error;
use crate::wait::Polling;

/// How long the application may still use the sandbox's connection after the end of the test.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server may take to accept the sandbox's connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The pool's own timeout, which must not pass: its error names no cause. The doorman ends a wait
/// earlier, with an error that names the remedy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_hours(24);

/// A lane whose connection belongs to a sandbox's pool.
pub(super) struct OpenSandbox {
    pub(super) in_use: LaneInUse,
    pub(super) pool: PgPool,
    keeper: JoinHandle<()>,
    state: Arc<PoolState>,
}

/// What the pool's callbacks record.
#[derive(Debug, Default)]
struct PoolState {
    occupancy: Arc<Occupancy>,
    /// Whether the one connection is established. Any later connection leads to the doorman's
    /// listener.
    is_open: AtomicBool,
    /// Whether the application has acquired the connection at least once.
    was_acquired: AtomicBool,
    /// Why the transaction could not be opened.
    opening_error: Mutex<Option<sqlx::Error>>,
    /// Notified when `opening_error` is set.
    opening_failed: Notify,
    /// Set when the application has ended the transaction.
    escaped: OnceLock<()>,
}

impl OpenLane for OpenSandbox {
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
            let lanes = self.in_use.lanes.clone();
            lanes.in_background(self.keep_database()).await
        })
    }
}

impl OpenSandbox {
    pub(super) async fn open(request: &LaneRequest) -> Result<Self> {
        let in_use = request.acquire(LaneUse::Sandbox).await?;
        let lanes = in_use.lanes.clone();
        // A connection cannot be used after the runtime that opened it has ended, and the test's
        // runtime may have ended when the transaction is closed.
        lanes.in_background(Self::open_on(in_use)).await
    }

    /// Opens the transaction. Runs on the background runtime.
    ///
    /// A lane that was marked `Equal` has not been connected to yet. If another client has dropped
    /// its database, the lane is copied and the connection tried once more.
    async fn open_on(mut in_use: LaneInUse) -> Result<Self> {
        // An existing connection cannot be moved into a pool.
        in_use.lane.connection = None;
        let state = Arc::new(PoolState::default());
        let connected = match Self::connect(&in_use, &state).await {
            Err(error) if prepare::is_database_missing(&error) => {
                in_use.restore_missing().await?;
                Self::connect(&in_use, &state).await
            }
            other => other,
        };
        let diagnose = |error| {
            let step = "opening the test's transaction";
            in_use.lanes.diagnose(step, error)
        };
        let (pool, keeper) = connected.map_err(diagnose)?;
        Ok(Self {
            in_use,
            pool,
            keeper,
            state,
        })
    }

    /// Creates the pool and fills both its slots, in an order that lets no other connection in
    /// between.
    async fn connect(
        in_use: &LaneInUse,
        state: &Arc<PoolState>,
    ) -> Result<(PgPool, JoinHandle<()>), sqlx::Error> {
        let LaneInUse {
            lanes, lane, test, ..
        } = in_use;
        let real = lanes.guarded_options(&lane.database, test, Login::Test);
        let doorman = Doorman::of_this_process()
            .await
            .map_err(|error| sqlx::Error::Configuration(error.into()))?;
        let pool = pool_options(in_use, state).connect_lazy_with(real.clone());
        let refusing_options = doorman.options(&real);
        // The keeper occupies its slot first. So the pool can open only one connection with the
        // server's options. No other task has a handle of the pool yet.
        let second_slot = SecondSlot::take(&pool, refusing_options.clone()).await;
        pool.set_connect_options(real);
        let mut first = first_connection(&pool, state).await?;
        // From here on the pool has the refusing options for good, and `after_connect` treats every
        // other connection as one to the listener.
        state.is_open.store(true, Ordering::Release);
        pool.set_connect_options(refusing_options);
        // Not earlier: the keeper's task may call `acquire` again, which sets the pool's options.
        let keeper = tokio::spawn(second_slot.keep(Arc::clone(&state.occupancy)));
        // Dropping the connection would return it in a separate task, and the test would wait for
        // that task.
        first.return_to_pool().await;
        Ok((pool, keeper))
    }

    /// Acquires the one connection, outside of the application's transactions.
    pub(super) async fn acquire_for_checkpoint(&self) -> Result<PoolConnection<Postgres>> {
        self.pool.acquire().await.map_err(|error| {
            if self.state.escaped.get().is_some() {
                return open_tx::escaped_error(&self.in_use.test);
            }
            Error::new(
                ErrorKind::Checkpoint,
                "a checkpoint needs the sandbox's connection, which is in use or was closed",
            )
            .with_source(error)
            .with_help(
                "set it and rewind to it after the end of the query or transaction that has the \
                 connection",
            )
        })
    }

    async fn return_lane(mut self: Box<Self>) -> Result<()> {
        match self.take_connection().await {
            Ok(connection) => open_tx::close(self.in_use, LaneConnection::Nested(connection)).await,
            // The lane is dropped with its mark of use, so its next holder copies it.
            Err(NoConnection::Escaped) => Err(open_tx::escaped_error(&self.in_use.test)),
            Err(NoConnection::Closed) => reset_after_close(self.in_use).await,
            Err(NoConnection::StillInUse) => Err(end_session(self.in_use).await),
        }
    }

    async fn keep_database(mut self: Box<Self>) -> Result<KeptDatabase> {
        match self.take_connection().await {
            Ok(mut connection) => {
                kept::commit(&self.in_use.lanes, &mut connection).await?;
                kept::keep(self.in_use, connection).await
            }
            Err(NoConnection::Escaped) => Err(open_tx::escaped_error(&self.in_use.test)),
            Err(NoConnection::Closed) => Err(Error::new(
                ErrorKind::TransactionEscaped,
                format!(
                    "test {} closed its connection, so the server rolled back what it wrote",
                    self.in_use.test
                ),
            )),
            Err(NoConnection::StillInUse) => Err(end_session(self.in_use).await),
        }
    }

    /// Takes the one connection out of the pool, and closes the pool for every handle that still
    /// exists.
    async fn take_connection(&mut self) -> Result<PgConnection, NoConnection> {
        // If the test has dropped the future of a statement, the server still executes it, and the
        // pool gets the connection back only after that. So the test counts as ending here already.
        let watch = self.in_use.lane.presence.as_ref().map(TestPresence::end);
        let acquired = self.acquire_released().await;
        drop(watch);
        // Not earlier: with the second slot free, `acquire` would connect in it and be refused.
        self.keeper.abort();
        // It ends by the abort or by itself. Either way the second slot is not counted any more.
        let _ = (&mut self.keeper).await;
        // Only now does the size show whether the application has closed the connection.
        let is_gone = self.pool.size() == 0;
        // Calling `close` marks the pool as closed. The future would wait for connections, so it is
        // dropped.
        drop(self.pool.close());
        match acquired {
            // A connection that returns to a closed pool is closed, so this one does not return.
            Ok(connection) => Ok(connection.leak()),
            // Before `is_gone`: after an escape, the pool has closed the connection itself.
            _ if self.state.escaped.get().is_some() => Err(NoConnection::Escaped),
            Err(sqlx::Error::PoolClosed) => Err(NoConnection::Closed),
            _ if is_gone => Err(NoConnection::Closed),
            Err(_) => Err(NoConnection::StillInUse),
        }
    }

    /// Acquires the one connection when the application releases it, within a timeout.
    async fn acquire_released(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let mut polling = Polling::new("the sandbox's connection", RELEASE_TIMEOUT);
        loop {
            match tokio::time::timeout(RELEASE_TIMEOUT, self.pool.acquire()).await {
                // The keeper may have lost the second slot and briefly hold the one connection.
                // Then `acquire` connects in that slot, and the doorman's listener refuses it, so
                // this tries again. After an escape there is no connection to wait for.
                Ok(Err(error))
                    if sql_error::code(&error) == Some(REFUSED_SQLSTATE)
                        && self.state.escaped.get().is_none() =>
                {
                    if polling.pause(&error).await.is_err() {
                        return Err(error);
                    }
                }
                Ok(acquired) => return acquired,
                Err(_) => return Err(sqlx::Error::PoolTimedOut),
            }
        }
    }
}

/// Why there is no connection on which the transaction can be closed.
enum NoConnection {
    /// The application has ended the transaction.
    Escaped,
    /// The application has closed the pool, or has closed or detached the connection.
    Closed,
    /// The application has not released the connection.
    StillInUse,
}

/// Resets the lane after the application has closed the connection. The server has rolled back
/// the transaction, but the application may have done more on that connection.
async fn reset_after_close(in_use: LaneInUse) -> Result<()> {
    let LaneInUse {
        lanes,
        mut lane,
        test,
        ..
    } = in_use;
    let login = lanes.reset_login();
    let connected = lanes.connect(&lane.database, &test, login).await;
    let connection = connected.map_err(|error| lanes.diagnose("connecting to a lane", error))?;
    if let Some(connection) = lanes
        .reset(&lane.lock, connection, &mut lane.database)
        .await?
    {
        lane.connection = Some(LaneConnection::New(connection));
        lane.login = login;
        lanes.put_back(lane)?;
    }
    Ok(())
}

/// Ends the session of a connection that the application still uses. The lane keeps its mark,
/// so it is copied again before its next use.
async fn end_session(in_use: LaneInUse) -> Error {
    let LaneInUse {
        lanes, lane, test, ..
    } = in_use;
    let login = lanes.reset_login();
    if let Ok(mut connection) = lanes.connect(&lane.database, &test, login).await {
        // If this fails, dropping the database before the next copy ends the session.
        let _ = lanes.end_others(&mut connection).await;
    }
    lanes.release(lane);
    Error::new(
        ErrorKind::StillInUse,
        format!(
            "test {test} is over, and something that it started still uses the sandbox's \
             connection"
        ),
    )
    .with_help(
        "end or await the task, server or transaction that holds it; ebbtide ends its session now",
    )
}

/// Options of the sandbox's pool, with the callbacks that open the transaction and renew the
/// savepoint.
///
/// - `after_connect` opens the transaction on the first connection. On later ones, and on the
///   keeper's, it calls the doorman.
/// - `before_acquire` records that the connection is in use.
/// - `after_release` ends the savepoint around the statements since the last release.
fn pool_options(in_use: &LaneInUse, state: &Arc<PoolState>) -> PgPoolOptions {
    let holder = in_use.lane.lock.holder().map(str::to_owned);
    let opening_lanes = in_use.lanes.clone();
    let (opening, taking, releasing) = (Arc::clone(state), Arc::clone(state), Arc::clone(state));
    PgPoolOptions::new()
        .max_connections(2)
        // The transaction ends with its connection, so the pool must not close the connection.
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A ping would cost a round trip, and a broken connection cannot be replaced.
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let (lanes, holder, state) =
                (opening_lanes.clone(), holder.clone(), Arc::clone(&opening));
            Box::pin(async move {
                if doorman::is_keeper() || state.is_open.load(Ordering::Acquire) {
                    return Err(doorman::hold_or_retry().await);
                }
                // sqlx does not call `before_acquire` for a connection that it has just opened.
                state.occupancy.begin();
                open_transaction(&lanes, connection, holder.as_deref())
                    .await
                    .map_err(|error| {
                        *state
                            .opening_error
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner) = Some(error);
                        // sqlx only logs what this callback returns, and connects again.
                        state.opening_failed.notify_one();
                        sqlx::Error::WorkerCrashed
                    })
            })
        })
        .before_acquire(move |_, _| {
            taking.occupancy.begin();
            taking.was_acquired.store(true, Ordering::Release);
            Box::pin(std::future::ready(Ok(true)))
        })
        .after_release(move |connection, _| {
            let state = Arc::clone(&releasing);
            Box::pin(async move {
                state.occupancy.end();
                // `connect` releases the connection before the application has executed anything.
                if !state.was_acquired.load(Ordering::Acquire) {
                    return Ok(true);
                }
                match guard::renew_savepoint(connection).await {
                    Err(error) if guard::has_left_transaction(&error) => {
                        // Recorded before sqlx closes the connection, because a waiting `acquire`
                        // is refused then. Fails if it is set already.
                        let _ = state.escaped.set(());
                        Err(error)
                    }
                    other => other.map(|()| true),
                }
            })
        })
}

async fn open_transaction(
    lanes: &LanePool,
    connection: &mut PgConnection,
    holder: Option<&str>,
) -> Result<(), sqlx::Error> {
    let setting = lanes.setting();
    let identity = setting.server.identity();
    let session = Session::New {
        server: identity.as_deref(),
        settings: &setting.session_settings,
    };
    let opening = Opening {
        session,
        level: None,
        test: None,
        holder,
        version_num: setting.server.version_num,
        is_read_only: lanes.is_read_only(),
    };
    guard::open(connection, &opening).await?;
    guard::begin_statement_savepoint(connection).await
}

/// Acquires the pool's first connection, which opens the transaction.
async fn first_connection(
    pool: &PgPool,
    state: &PoolState,
) -> Result<PoolConnection<Postgres>, sqlx::Error> {
    let mut acquiring = Box::pin(tokio::time::timeout(CONNECT_TIMEOUT, pool.acquire()));
    let mut opening_failed = Box::pin(state.opening_failed.notified());
    std::future::poll_fn(|context| {
        // After an error of `after_connect`, sqlx tries again until the pool's timeout, and hides
        // the error. So the callback records it, and the first error ends the wait here.
        if opening_failed.as_mut().poll(context).is_ready() {
            let error = state
                .opening_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            return Poll::Ready(Err(error.unwrap_or(sqlx::Error::PoolTimedOut)));
        }
        acquiring
            .as_mut()
            .poll(context)
            .map(|acquired| acquired.unwrap_or(Err(sqlx::Error::PoolTimedOut)))
    })
    .await
}
