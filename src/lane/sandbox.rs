//! A pool whose one connection sits in a guarded transaction.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::active_tests::TestPresence;
use super::checkout::{Checkout, Ending};
use super::doorman::{self, Doorman, Occupancy, REFUSED_SQLSTATE, SecondPlace};
use super::guard::{self, Session};
use super::kept::{self, KeptDatabase};
use super::leased::{Lane, LaneConnection};
use super::pool::{LanePool, LaneUse};
use super::prepare;
use super::report::TestReport;
use super::tx;
use crate::advice::Isolation;
use crate::error::{Error, ErrorKind, Result};
use crate::sql_error;
use crate::wait::Patience;

/// How long the sandbox's connection may still be in use when the test is over.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server may be without a connection for the sandbox.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The pool's own limit would end a wait without a reason; ours ends it with one.
const NO_LIMIT: Duration = Duration::from_hours(24);

/// A [`PgPool`] whose one connection sits in a transaction that is rolled back: code under test may begin, commit and
/// roll back as it likes.
///
/// It dereferences to [`PgPool`], so `sandbox.clone()` is a pool for the application. The application's transactions
/// are savepoints. A statement outside of them that fails undoes only itself, as it would without a transaction. What
/// was written is gone when the value is closed or dropped.
///
/// There is one connection. Who wants a second one while the first is in use waits for it; when the first has been in
/// use for five seconds without a pause, the wait ends with an error that says so (SQLSTATE 53400). Code that needs
/// several connections at once, or another driver, is at home in a [`Database`](crate::Database).
///
/// `begin_with` is refused with [`sqlx::Error::InvalidSavePointStatement`]: the isolation level of a transaction
/// cannot be changed inside it.
///
/// Under a paused clock of tokio's (`start_paused`) the pool's own timeouts pass at once: use [`Tx`](crate::Tx) there.
///
/// # Cleanup
/// As for [`Tx`](crate::Tx). Handles of the pool that live on are closed.
///
/// # Examples
/// ```no_run
/// # async fn application(pool: sqlx::PgPool) -> Result<(), sqlx::Error> { Ok(()) }
/// # async fn test() -> ebbtide::Result<()> {
/// let sandbox = ebbtide::sandbox().await?;
/// application(sandbox.clone()).await?;
/// let customers: i64 = sqlx::query_scalar("select count(*) from customers").fetch_one(&*sandbox).await?;
/// sandbox.close().await
/// # }
/// ```
#[must_use = "the transaction is rolled back when this is dropped"]
pub struct Sandbox {
    // None only while `close`, `keep` or `drop` takes it away.
    open: Option<OpenSandbox>,
    ending: Ending,
}

/// A lane whose connection belongs to a pool.
pub(crate) struct OpenSandbox {
    pub(super) lanes: LanePool,
    lane: Lane,
    test: String,
    pool: PgPool,
    keeper: JoinHandle<()>,
    inside: Arc<Inside>,
}

/// What the pool's callbacks tell.
#[derive(Debug, Default)]
struct Inside {
    occupancy: Arc<Occupancy>,
    /// Whether the one connection is there. Others are the doorman's.
    opened: AtomicBool,
    /// Whether the test has had the connection by now.
    used: AtomicBool,
    /// Why the transaction could not be opened.
    refused: Mutex<Option<sqlx::Error>>,
    told: Notify,
    /// Whether the test has ended the transaction.
    escaped: OnceLock<()>,
}

impl Sandbox {
    #[tracing::instrument(name = "sandbox.open", level = "debug", skip_all)]
    pub(crate) async fn open(lanes: &LanePool, test: &str, ending: Ending) -> Result<Self> {
        let lane = lanes.lease(test, LaneUse::Sandbox).await?;
        let (pool, name) = (lanes.clone(), test.to_owned());
        // On the background runtime, because a connection dies with the runtime that made it, and the test's own may
        // be gone when the transaction is closed.
        let open = lanes
            .in_background(OpenSandbox::enter(pool, lane, name))
            .await?;
        Ok(Self {
            open: Some(open),
            ending,
        })
    }

    /// A URL of the database, for `psql` and other drivers. They do not see what the transaction has not committed, and
    /// their sessions are read only.
    #[must_use]
    pub fn url(&self) -> String {
        let open = self.get();
        open.lane.looking_url(&open.lanes.setting().conn)
    }

    /// Rolls back, after checking deferred constraints as a commit would have done, and closes the pool.
    ///
    /// # Errors
    /// As for [`Tx::close`](crate::Tx::close); and [`ErrorKind::StillInUse`] when a task that the test started does not
    /// give the connection back within five seconds: its session is ended.
    ///
    /// # Cancel safety
    /// It goes on in the background when the future is dropped.
    pub async fn close(mut self) -> Result<()> {
        self.take().close().await
    }

    /// Commits what the test wrote and keeps the database, to be looked at: for an hour, unless `keep_for` says otherwise.
    ///
    /// # Errors
    /// The commit is refused, for example by a deferred constraint; the connection is still in use; or the server went
    /// away.
    ///
    /// # Cancel safety
    /// When the future is dropped, nothing is kept.
    pub async fn keep(mut self) -> Result<KeptDatabase> {
        self.take().keep().await
    }

    fn take(&mut self) -> OpenSandbox {
        self.open.take().expect(OPEN)
    }

    fn get(&self) -> &OpenSandbox {
        self.open.as_ref().expect(OPEN)
    }
}

const OPEN: &str = "only close, keep and drop take it away, and they own the value";

impl OpenSandbox {
    /// On the background runtime.
    async fn enter(lanes: LanePool, mut lane: Lane, test: String) -> Result<Self> {
        // The lane's own connection cannot become one of a pool.
        lane.connection = None;
        let inside = Arc::new(Inside::default());
        match Self::connect(&lanes, &lane, &test, &inside).await {
            Err(error) if prepare::is_missing(&error) => {
                lanes.restore_missing(&mut lane, &test).await?;
                let (pool, keeper) = Self::connect(&lanes, &lane, &test, &inside)
                    .await
                    .map_err(|error| lanes.diagnose("opening the test's transaction", error))?;
                Ok(Self {
                    lanes,
                    lane,
                    test,
                    pool,
                    keeper,
                    inside,
                })
            }
            Ok((pool, keeper)) => Ok(Self {
                lanes,
                lane,
                test,
                pool,
                keeper,
                inside,
            }),
            Err(error) => Err(lanes.diagnose("opening the test's transaction", error)),
        }
    }

    async fn connect(
        lanes: &LanePool,
        lane: &Lane,
        test: &str,
        inside: &Arc<Inside>,
    ) -> Result<(PgPool, JoinHandle<()>), sqlx::Error> {
        let real = lanes.guarded_options(&lane.database, test);
        let doorman = Doorman::of_this_process()
            .await
            .map_err(|error| sqlx::Error::Configuration(error.into()))?;
        let pool = pool_options(lanes, lane, inside).connect_lazy_with(real.clone());
        let refusing = doorman.options(&real);
        let second = SecondPlace::take(&pool, refusing.clone()).await;
        pool.set_connect_options(real);
        let mut first = first_connection(&pool, inside).await?;
        inside.opened.store(true, Ordering::Release);
        pool.set_connect_options(refusing);
        let keeper = tokio::spawn(second.keep(Arc::clone(&inside.occupancy)));
        // Here and now, not in a task that the hand-out would wait for.
        first.return_to_pool().await;
        Ok((pool, keeper))
    }

    pub(super) async fn close(self) -> Result<()> {
        let lanes = self.lanes.clone();
        lanes.in_background(self.give_back()).await
    }

    async fn give_back(mut self) -> Result<()> {
        match self.take_connection().await {
            Ok(connection) => {
                tx::close(
                    &self.lanes,
                    self.lane,
                    LaneConnection::Nested(connection),
                    &self.test,
                )
                .await
            }
            Err(Absence::Escaped) => Err(tx::escaped(&self.test)),
            Err(Absence::Closed) => self.prove_unchanged().await,
            Err(Absence::StillInUse) => Err(self.end_session().await),
        }
    }

    pub(super) fn report(&self) -> TestReport {
        TestReport::of(&self.lanes, &self.lane, Isolation::Sandbox)
    }

    pub(super) async fn keep(mut self) -> Result<KeptDatabase> {
        let lanes = self.lanes.clone();
        let keeping = async move {
            match self.take_connection().await {
                Ok(mut connection) => {
                    kept::commit(&self.lanes, &mut connection).await?;
                    kept::keep(&self.lanes, self.lane, connection).await
                }
                Err(Absence::Escaped) => Err(tx::escaped(&self.test)),
                Err(Absence::Closed) => Err(Error::new(
                    ErrorKind::TransactionEscaped,
                    format!(
                        "test {} has closed its connection, and with it went what it wrote",
                        self.test
                    ),
                )),
                Err(Absence::StillInUse) => Err(self.end_session().await),
            }
        };
        lanes.in_background(keeping).await
    }

    /// Takes the one connection out of the pool, and closes the pool for everybody who still has a handle.
    async fn take_connection(&mut self) -> Result<PgConnection, Absence> {
        // While the second place is kept, there is but one connection to get.
        let watch = self.lane.presence.as_ref().map(TestPresence::end);
        let acquired = self.acquire_last().await;
        drop(watch);
        self.keeper.abort();
        // It ends in any way, and then the second place is not counted any more.
        let _ = (&mut self.keeper).await;
        let is_gone = self.pool.size() == 0;
        // Marks it as closed at once. Nobody waits for the rest.
        drop(self.pool.close());
        match acquired {
            Ok(connection) => Ok(connection.leak()),
            _ if self.inside.escaped.get().is_some() => Err(Absence::Escaped),
            Err(sqlx::Error::PoolClosed) => Err(Absence::Closed),
            _ if is_gone => Err(Absence::Closed),
            Err(_) => Err(Absence::StillInUse),
        }
    }

    /// The one connection, once nobody uses it.
    async fn acquire_last(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let mut patience = Patience::new("the sandbox's connection", RELEASE_TIMEOUT);
        loop {
            match tokio::time::timeout(RELEASE_TIMEOUT, self.pool.acquire()).await {
                // Whoever keeps the second place has the one connection in hand for a moment, having just lost its own.
                // Where the test has ended the transaction there is none to wait for.
                Ok(Err(error))
                    if sql_error::code(&error) == Some(REFUSED_SQLSTATE)
                        && self.inside.escaped.get().is_none() =>
                {
                    if patience.pause(&error).await.is_err() {
                        return Err(error);
                    }
                }
                Ok(acquired) => return acquired,
                Err(_) => return Err(sqlx::Error::PoolTimedOut),
            }
        }
    }

    /// The application has closed the connection, and the server rolled back. What else it did cannot be known.
    async fn prove_unchanged(self) -> Result<()> {
        let Self {
            lanes,
            mut lane,
            test,
            ..
        } = self;
        let connected = lanes.connect(&lane.database, &test).await;
        let connection =
            connected.map_err(|error| lanes.diagnose("connecting to a lane", error))?;
        if let Some(connection) = lanes
            .reset(&lane.lease, connection, &mut lane.database)
            .await?
        {
            lane.connection = Some(LaneConnection::New(connection));
            lanes.put_back(lane)?;
        }
        Ok(())
    }

    /// Ends what the test left behind. The lane is copied anew before its next use.
    async fn end_session(self) -> Error {
        let Self {
            lanes, lane, test, ..
        } = self;
        if let Ok(mut connection) = lanes.connect(&lane.database, &test).await {
            // The copy's own preparation ends what is left.
            let _ = lanes.end_others(&mut connection).await;
        }
        lanes.freed(lane);
        Error::new(
            ErrorKind::StillInUse,
            format!("test {test} is over, and something that it started still uses the sandbox's connection"),
        )
        .with_help("end or await the task, server or transaction that holds it; its session is ended now")
    }
}

/// Why there is no connection to close the transaction with.
enum Absence {
    Escaped,
    /// The pool or the connection, by the application. Or it has detached the connection.
    Closed,
    StillInUse,
}

fn pool_options(lanes: &LanePool, lane: &Lane, inside: &Arc<Inside>) -> PgPoolOptions {
    let (opener, holder) = (lanes.clone(), lane.lease.holder().map(str::to_owned));
    let (opening, taking, releasing) = (Arc::clone(inside), Arc::clone(inside), Arc::clone(inside));
    PgPoolOptions::new()
        .max_connections(2)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(NO_LIMIT)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let (lanes, holder, inside) = (opener.clone(), holder.clone(), Arc::clone(&opening));
            Box::pin(async move {
                if doorman::is_keeper() || inside.opened.load(Ordering::Acquire) {
                    return Err(doorman::receive().await);
                }
                inside.occupancy.begin();
                open(&lanes, connection, holder.as_deref())
                    .await
                    .map_err(|error| {
                        *inside
                            .refused
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner) = Some(error);
                        inside.told.notify_one();
                        sqlx::Error::WorkerCrashed
                    })
            })
        })
        .before_acquire(move |_, _| {
            taking.occupancy.begin();
            taking.used.store(true, Ordering::Release);
            Box::pin(std::future::ready(Ok(true)))
        })
        .after_release(move |connection, _| {
            let inside = Arc::clone(&releasing);
            Box::pin(async move {
                inside.occupancy.end();
                if !inside.used.load(Ordering::Acquire) {
                    return Ok(true);
                }
                match guard::renew(connection).await {
                    Err(error) if guard::is_outside(&error) => {
                        // Told only once.
                        let _ = inside.escaped.set(());
                        Err(error)
                    }
                    other => other.map(|()| true),
                }
            })
        })
}

async fn open(
    lanes: &LanePool,
    connection: &mut PgConnection,
    holder: Option<&str>,
) -> Result<(), sqlx::Error> {
    let setting = lanes.setting();
    let identity = setting.server.identity();
    let session = Session::New {
        server: identity.as_deref(),
        settings: &setting.session,
    };
    guard::open(
        connection,
        session,
        None,
        None,
        holder,
        setting.server.version_num,
    )
    .await?;
    guard::begin_statements(connection).await
}

/// The pool would try again and again to open the transaction; its first refusal is final.
async fn first_connection(
    pool: &PgPool,
    inside: &Inside,
) -> Result<PoolConnection<Postgres>, sqlx::Error> {
    let mut acquiring = Box::pin(tokio::time::timeout(CONNECT_TIMEOUT, pool.acquire()));
    let mut refused = Box::pin(inside.told.notified());
    std::future::poll_fn(|context| {
        if refused.as_mut().poll(context).is_ready() {
            let error = inside
                .refused
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

impl Deref for Sandbox {
    type Target = PgPool;

    fn deref(&self) -> &PgPool {
        &self.get().pool
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("test", &self.open.as_ref().map(|open| &open.test))
            .field(
                "database",
                &self.open.as_ref().map(|open| open.lane.database.as_str()),
            )
            .finish_non_exhaustive()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.ending.take_back(Checkout::Sandbox(open));
        }
    }
}
