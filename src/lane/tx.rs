//! A test's transaction.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{Connection as _, Transaction};

use super::guard::{self, Outcome, Session};
use super::pool::{Lane, LaneConnection, LanePool};
use crate::error::{Error, ErrorKind, Result};
use crate::names::DatabaseName;
use crate::reap;
use crate::sql_error;
use crate::wait::Patience;

/// How long a kept database, and its server for its sake, outlives the tests.
const KEPT_FOR: Duration = Duration::from_hours(1);

/// A connection inside a transaction that is rolled back, on a database that no other test uses meanwhile.
///
/// It dereferences to [`PgConnection`], so `&mut *tx` is an executor, and [`begin`](Tx::begin) opens a savepoint that
/// code under test may commit. What the test wrote is gone when the value is closed or dropped; sequences stand
/// where they stood. A stray `COMMIT` fails and changes nothing, and outside the transaction the connection is read
/// only.
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
    // None only while `close` or `drop` takes the lane away.
    lane: Option<Lane>,
    pool: LanePool,
    test: String,
}

impl Tx {
    /// Leases a lane and opens the transaction: one round trip on a warm lane.
    #[tracing::instrument(name = "tx.open", level = "debug", skip_all)]
    pub(crate) async fn open(pool: &LanePool) -> Result<Self> {
        let test = std::thread::current().name().unwrap_or("ebbtide").to_owned();
        let mut lane = pool.lease(&test).await?;
        let setting = pool.setting();
        let identity = setting.server.identity();
        let session = match &lane.connection {
            LaneConnection::New(_) => Session::New { server: identity.as_deref() },
            LaneConnection::Used(_) => Session::Used,
        };
        let name = (lane.session_name != test).then_some(&*test);
        guard::open(lane.connection.get(), session, name, lane.lease.holder())
            .await
            .map_err(|error| pool.explain("opening the test's transaction", error))?;
        lane.connection = match lane.connection {
            LaneConnection::New(connection) | LaneConnection::Used(connection) => LaneConnection::Used(connection),
        };
        Ok(Self { lane: Some(lane), pool: pool.clone(), test })
    }

    /// Opens a savepoint, which code under test may commit or roll back like a transaction of its own.
    ///
    /// # Errors
    /// As for [`sqlx::Connection::begin`].
    pub async fn begin(&mut self) -> std::result::Result<Transaction<'_, Postgres>, sqlx::Error> {
        self.connection_mut().begin().await
    }

    /// A URL of the database, for `psql` and other drivers. They do not see what the transaction has not committed.
    #[must_use]
    pub fn url(&self) -> String {
        self.pool.setting().server.conn.url(self.lane().database.as_str())
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
        match self.lane.take() {
            Some(lane) => close(&self.pool, lane, &self.test).await,
            None => Ok(()),
        }
    }

    /// Commits what the test wrote and keeps the database for an hour, to be looked at.
    ///
    /// # Errors
    /// The commit is refused, for example by a deferred constraint, or the server went away.
    ///
    /// # Cancel safety
    /// When the future is dropped, nothing is kept.
    pub async fn keep(mut self) -> Result<Kept> {
        let Some(mut lane) = self.lane.take() else {
            return Err(Error::new(ErrorKind::TransactionEscaped, "the transaction is closed already"));
        };
        let refused = |error| self.pool.explain("keeping the test's database", error);
        let commit =
            "set local ebbtide.closing = 'on'; release savepoint _ebbtide; delete from _ebbtide.open_test; commit";
        sqlx::raw_sql(commit).execute(lane.connection.get()).await.map_err(refused)?;
        let (LaneConnection::New(connection) | LaneConnection::Used(connection)) = lane.connection;
        connection.close().await.map_err(refused)?;
        let server = &self.pool.setting().server;
        let kept = DatabaseName::kept();
        // The lane stays marked as in use, so that the number gets a new copy.
        let (lane_name, kept_name) = (lane.database.clone(), kept.clone());
        let pool = self.pool.clone();
        let renamed = self.pool.setting().runtime.spawn(async move {
            let mut admin = pool.setting().server.admin().await?;
            let mut patience = Patience::new("keeping the test's database", Duration::from_secs(10));
            loop {
                match reap::keep(&mut admin, &lane_name, &kept_name, KEPT_FOR).await {
                    Ok(()) => return Ok(()),
                    // object_in_use: the closed session takes a moment to go.
                    Err(error) if sql_error::code(&error) == Some("55006") => {
                        patience.pause(error).await?;
                    }
                    Err(error) => return Err(pool.explain("keeping the test's database", error)),
                }
            }
        });
        renamed.await.unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::ServerLost, "the background runtime ended").with_source(error))
        })?;
        server.hold_for(KEPT_FOR).await?;
        Ok(Kept { url: server.conn.url(kept.as_str()), name: kept.as_str().to_owned() })
    }

    fn lane(&self) -> &Lane {
        self.lane.as_ref().expect("only close, keep and drop take the lane, and they own the value")
    }

    fn connection_mut(&mut self) -> &mut PgConnection {
        self.lane.as_mut().expect("only close, keep and drop take the lane, and they own the value").connection.get()
    }
}

async fn close(pool: &LanePool, mut lane: Lane, test: &str) -> Result<()> {
    let worn = lane.is_worn();
    // A worn lane is not called clean, so it is copied anew.
    let holder = lane.lease.holder().filter(|_| !worn);
    match guard::close(lane.connection.get(), holder).await {
        Outcome::Clean => pool.put_back(lane),
        Outcome::ConstraintViolated(error) => {
            pool.put_back(lane)?;
            let constraint = error.as_database_error().and_then(|error| error.constraint()).map(str::to_owned);
            let what = constraint.map_or("a deferred trigger".to_owned(), |name| format!("the deferred constraint {name}"));
            Err(Error::new(ErrorKind::ConstraintViolated, format!("{what} does not hold at the end of test {test}"))
                .with_source(error)
                .with_help("a commit of what the test did would have failed; mend the test's data or the code under test"))
        }
        // The lane is not returned: its file still says that it is in use, so it is copied anew.
        Outcome::Escaped => Err(Error::new(
            ErrorKind::TransactionEscaped,
            format!("test {test} ended the transaction that ebbtide had opened for it"),
        )
        .with_help(
            "find the COMMIT, ROLLBACK or ROLLBACK AND CHAIN that runs as plain SQL; use `tx.begin()` for a transaction \
             of the code under test",
        )),
        Outcome::Lost(error) => Err(pool.explain("closing the test's transaction", error)),
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.lane().connection.get_ref()
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection_mut()
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx")
            .field("test", &self.test)
            .field("database", &self.lane.as_ref().map(|lane| lane.database.as_str()))
            .finish_non_exhaustive()
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        let Some(lane) = self.lane.take() else { return };
        let pool = self.pool.clone();
        let test = std::mem::take(&mut self.test);
        let runtime = self.pool.setting().runtime.clone();
        runtime.spawn(async move {
            if let Err(error) = close(&pool, lane, &test).await {
                report(&error);
            }
        });
    }
}

/// A dropped transaction cannot fail its test any more; `close` can.
#[expect(clippy::print_stderr, reason = "a failure report")]
fn report(error: &Error) {
    eprintln!("ebbtide: {error} (call `close().await` to make this fail the test)");
}

/// A database that a test left for a person to look at. It goes with its server, an hour later; from an external server,
/// it is dropped by whoever uses ebbtide there when the hour is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    url: String,
    name: String,
}

impl Kept {
    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A URL for `psql` and other clients.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Display for Kept {
    /// A line to paste.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "psql '{}'", self.url)
    }
}
