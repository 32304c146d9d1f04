//! The guarded transaction that a test gets.

use std::fmt;
use std::ops::{Deref, DerefMut};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Postgres, Transaction};

use super::active_tests::{EndWatch, TestPresence};
use super::checkout::{Checkout, Ending};
use super::guard::{self, Closing, Outcome, Session};
use super::kept::{self, KeptDatabase};
use super::leased::{Lane, LaneConnection};
use super::pool::{LanePool, LaneUse};
use super::report::TestReport;
use super::tx_options::TxOptions;
use crate::advice::Isolation;
use crate::error::{Error, ErrorKind, Result};
use crate::sql_error;

/// A connection inside a transaction that is rolled back, on a database that no other test uses meanwhile.
///
/// It dereferences to [`PgConnection`], so `&mut *tx` is an executor, and [`begin`](Tx::begin) opens a savepoint that
/// code under test may commit. What the test wrote is gone when the value is closed or dropped; sequences stand
/// where they stood. A stray `COMMIT` fails and changes nothing, and outside the transaction the connection is read
/// only.
///
/// A statement that fails makes PostgreSQL refuse all others until the end of its transaction: code under test that goes
/// on after an error does so within `begin()`, or in a transaction with [`savepoints`](TxOptions::savepoints).
///
/// `now()` stands still in a transaction; use `clock_timestamp()` where time must pass
/// (<https://www.postgresql.org/docs/current/functions-datetime.html#FUNCTIONS-DATETIME-CURRENT>).
///
/// # Cleanup
/// Dropping it rolls back in the background. [`close`](Tx::close) does the same, waits for it, and reports deferred
/// constraints that do not hold and a transaction that the test ended by itself. A process that is killed loses
/// nothing: the server rolls back, and the database is copied anew before its next use.
///
/// # Examples
/// ```no_run
/// # async fn test() -> ebbtide::Result<()> {
/// let mut tx = ebbtide::tx().await?;
/// sqlx::query("insert into customers (first_name) values ('Laura')").execute(&mut *tx).await?;
/// tx.close().await
/// # }
/// ```
#[must_use = "the transaction is rolled back when this is dropped"]
pub struct Tx {
    // None only while `close`, `keep` or `drop` takes it away.
    open: Option<OpenTx>,
    ending: Ending,
}

/// A lane inside a guarded transaction.
pub(crate) struct OpenTx {
    pub(super) pool: LanePool,
    lane: Lane,
    connection: PgConnection,
    options: TxOptions,
    test: String,
}

impl Tx {
    /// Leases a lane and opens the transaction: one round trip on a warm lane.
    #[tracing::instrument(name = "tx.open", level = "debug", skip_all)]
    pub(crate) async fn open(
        pool: &LanePool,
        test: &str,
        options: TxOptions,
        ending: Ending,
    ) -> Result<Self> {
        let (mut lane, connection) = if options.has_savepoints() {
            let lane = pool.lease(test, LaneUse::Relayed).await?;
            let (lane, connection) = pool.relayed(lane, test).await?;
            (lane, LaneConnection::Relayed(connection))
        } else {
            let mut lane = pool.lease(test, LaneUse::Transaction).await?;
            let mut connection = lane
                .connection
                .take()
                .expect("a lane for a transaction comes with its connection");
            if lane.session_database != lane.database {
                // It was renamed after a test that had it whole, and the report of this one is found in the server's
                // log by the database's name.
                drop(connection);
                connection = LaneConnection::New(pool.connect_again(&lane.database, test).await?);
                test.clone_into(&mut lane.session_name);
                lane.session_database = lane.database.clone();
            }
            (lane, connection)
        };
        let setting = pool.setting();
        let identity = setting.server.identity();
        let new = Session::New {
            server: identity.as_deref(),
            settings: &setting.session,
        };
        let session = match &connection {
            LaneConnection::New(_) | LaneConnection::Relayed(_) => new,
            LaneConnection::Used(_) | LaneConnection::Nested(_) => Session::Used {
                sessions: lane.sessions,
            },
        };
        let name = (lane.session_name != test).then_some(test);
        let (holder, version_num) = (lane.lease.holder(), setting.server.version_num);
        let mut connection = connection.into_inner();
        let mut opened = guard::open(
            &mut connection,
            session,
            options.level(),
            name,
            holder,
            version_num,
        )
        .await;
        if matches!(session, Session::Used { .. })
            && opened.as_ref().is_err_and(sql_error::is_server_gone)
        {
            // `idle_session_timeout`, or an administrator, has ended the session while no test had it. If the server
            // itself is gone, connecting reports that.
            connection = pool.connect_again(&lane.database, test).await?;
            test.clone_into(&mut lane.session_name);
            opened = guard::open(
                &mut connection,
                new,
                options.level(),
                None,
                holder,
                version_num,
            )
            .await;
        }
        opened.map_err(|error| pool.diagnose("opening the test's transaction", error))?;
        let open = OpenTx {
            pool: pool.clone(),
            lane,
            connection,
            options,
            test: test.to_owned(),
        };
        Ok(Self {
            open: Some(open),
            ending,
        })
    }

    /// Opens a savepoint, which code under test may commit or roll back like a transaction of its own.
    ///
    /// # Errors
    /// As for [`sqlx::Connection::begin`].
    pub async fn begin(&mut self) -> std::result::Result<Transaction<'_, Postgres>, sqlx::Error> {
        self.get_mut().connection.begin().await
    }

    /// A URL of the database, for `psql` and other drivers. They do not see what the transaction has not committed, and
    /// their sessions are read only.
    #[must_use]
    pub fn url(&self) -> String {
        let open = self.get();
        open.lane.looking_url(&open.pool.setting().conn)
    }

    /// Rolls back, after checking deferred constraints as a commit would have done.
    ///
    /// # Errors
    /// - [`ErrorKind::ConstraintViolated`]: a deferred constraint or trigger refused what the test wrote.
    /// - [`ErrorKind::TransactionEscaped`]: the test had ended the transaction by itself.
    /// - [`ErrorKind::ServerLost`]: the server went away.
    ///
    /// # Cancel safety
    /// When the future is dropped, the database is copied anew before its next use.
    pub async fn close(mut self) -> Result<()> {
        self.take().close().await
    }

    /// Commits what the test wrote and keeps the database, to be looked at: for an hour, unless `keep_for` says otherwise.
    ///
    /// # Errors
    /// The commit is refused, for example by a deferred constraint, or the server went away.
    ///
    /// # Cancel safety
    /// When the future is dropped, nothing is kept.
    pub async fn keep(mut self) -> Result<KeptDatabase> {
        self.take().keep().await
    }

    fn take(&mut self) -> OpenTx {
        self.open.take().expect(OPEN)
    }

    fn get(&self) -> &OpenTx {
        self.open.as_ref().expect(OPEN)
    }

    fn get_mut(&mut self) -> &mut OpenTx {
        self.open.as_mut().expect(OPEN)
    }
}

const OPEN: &str = "only close, keep and drop take it away, and they own the value";

impl OpenTx {
    pub(super) async fn close(self) -> Result<()> {
        let connection = if self.options.has_savepoints() {
            LaneConnection::Relayed(self.connection)
        } else {
            LaneConnection::Used(self.connection)
        };
        close(&self.pool, self.lane, connection, &self.test).await
    }

    pub(super) fn report(&self) -> TestReport {
        TestReport::of(&self.pool, &self.lane, Isolation::Transaction)
    }

    pub(super) async fn keep(mut self) -> Result<KeptDatabase> {
        kept::commit(&self.pool, &mut self.connection).await?;
        kept::keep(&self.pool, self.lane, self.connection).await
    }
}

/// Ends a guarded transaction and returns its lane.
pub(super) async fn close(
    pool: &LanePool,
    mut lane: Lane,
    mut connection: LaneConnection,
    test: &str,
) -> Result<()> {
    let watch = lane.presence.as_ref().map(TestPresence::end);
    let has_cancelled = || watch.as_ref().is_some_and(EndWatch::has_cancelled);
    let server = &pool.setting().server;
    let (version_num, log_is_ours) = (server.version_num, !server.outlives_us());
    let closing = guard::close(
        connection.get(),
        version_num,
        pool.deferrable(),
        log_is_ours,
        has_cancelled,
    )
    .await;
    let Closing { outcome, remains } = closing;
    drop(watch);
    lane.connection = Some(connection);
    lane.sessions = remains.sessions;
    match outcome {
        Outcome::Clean => pool.take_back(lane, remains).await,
        Outcome::ConstraintViolated(error) => {
            pool.take_back(lane, remains).await?;
            let constraint = error
                .as_database_error()
                .and_then(|error| error.constraint())
                .map(str::to_owned);
            let what = constraint.map_or("a deferred trigger".to_owned(), |name| {
                format!("the deferred constraint {name}")
            });
            let says = sql_error::refusal(&error)
                .map(sql_error::server_says)
                .unwrap_or_default();
            Err(Error::new(ErrorKind::ConstraintViolated, format!("{what} does not hold at the end of test {test}"))
                .with_evidence("the server says", says)
                .with_source(error)
                .with_help(
                    "a commit of what the test did would have failed; mend the test's data or the code under test",
                ))
        }
        // The lane is not returned: its file still says that it is in use, so it is copied anew.
        Outcome::Escaped => Err(escaped(test)),
        Outcome::Lost(error) => Err(pool.diagnose("closing the test's transaction", error)),
    }
}

/// The test has ended a transaction that was not its own.
pub(super) fn escaped(test: &str) -> Error {
    Error::new(
        ErrorKind::TransactionEscaped,
        format!("test {test} ended the transaction that ebbtide had opened for it"),
    )
    .with_help(
        "find the COMMIT, ROLLBACK or ROLLBACK AND CHAIN that runs as plain SQL, or the `begin_with`; use `begin()` for a transaction of the \
         code under test, or `Database`, which has no transaction around it",
    )
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.get().connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.get_mut().connection
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx")
            .field("test", &self.open.as_ref().map(|open| &open.test))
            .field(
                "database",
                &self.open.as_ref().map(|open| open.lane.database.as_str()),
            )
            .finish_non_exhaustive()
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.ending.take_back(Checkout::Tx(open));
        }
    }
}
