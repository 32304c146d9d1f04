//! The guarded transaction that a test gets.

use std::fmt;
use std::ops::{Deref, DerefMut};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Postgres, Transaction};

use super::checkout::{Checkout, OPEN_UNTIL_CONSUMED, OnDrop};
use super::kept::KeptDatabase;
use super::lane_use::LaneUse;
use super::leased::LaneConnection;
use super::open_tx::OpenTx;
use super::pool::LanePool;
use super::tx_options::TxOptions;
use crate::error::Result;
use crate::guard::{self, Opening, Session};
use crate::sql_error;

/// A connection inside a transaction that is rolled back, on a database that no other test uses at
/// the same time.
///
/// It dereferences to [`PgConnection`], so `&mut *tx` is an executor, and [`begin`](Tx::begin)
/// opens a savepoint that code under test may commit. When the value is closed or dropped, what the
/// test wrote is rolled back and sequences are restored. A stray `COMMIT` fails and changes
/// nothing. Outside the transaction the connection is read only.
///
/// After a failed statement, PostgreSQL rejects all others until the end of the transaction. Code
/// under test that continues after an error must run within `begin()`, or in a transaction with
/// [`savepoints`](TxOptions::savepoints).
///
/// `now()` returns the same time throughout a transaction. Use `clock_timestamp()` where time must
/// pass
/// (<https://www.postgresql.org/docs/current/functions-datetime.html#FUNCTIONS-DATETIME-CURRENT>).
///
/// # Cleanup
/// Dropping it rolls back in the background. [`close`](Tx::close) rolls back, waits for it, and
/// reports deferred constraints that do not hold and a transaction that the test ended by itself.
/// If the process is killed, the server rolls back, and the database is copied again before its
/// next use.
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
    on_drop: OnDrop,
}

impl Tx {
    /// Acquires a lane and opens the transaction. An idle lane needs one round trip.
    ///
    /// Its session may have ended since the last test, by `idle_session_timeout` or an
    /// administrator. Then this connects again and opens the transaction on the new session. If the
    /// server itself is gone, connecting reports that.
    #[tracing::instrument(name = "tx.open", level = "debug", skip_all)]
    pub(crate) async fn open(
        pool: &LanePool,
        test: &str,
        options: TxOptions,
        on_drop: OnDrop,
    ) -> Result<Self> {
        let (mut lane, connection) = if options.has_savepoints() {
            let lane = pool.acquire(test, LaneUse::Relayed).await?;
            let (lane, connection) = pool.relayed(lane, test).await?;
            (lane, LaneConnection::Relayed(connection))
        } else {
            let mut lane = pool.acquire(test, LaneUse::Transaction).await?;
            let mut connection = lane
                .connection
                .take()
                .expect("a lane for a transaction comes with its connection");
            if lane.session_database != lane.database {
                // A reset has renamed the database. The server's log shows the old name for as long
                // as the session lasts, and reports find the test's entries by the database's name.
                // So a new session is needed.
                drop(connection);
                connection = LaneConnection::New(pool.reconnect(&lane.database, test).await?);
                test.clone_into(&mut lane.session_name);
                lane.session_database = lane.database.clone();
            }
            (lane, connection)
        };
        let setting = pool.setting();
        let identity = setting.server.identity();
        let new = Session::New {
            server: identity.as_deref(),
            settings: &setting.session_settings,
        };
        let session = match &connection {
            LaneConnection::New(_) | LaneConnection::Relayed(_) => new,
            LaneConnection::Used(_) | LaneConnection::Nested(_) => Session::Used {
                session_count: lane.session_count,
            },
        };
        let name = (lane.session_name != test).then_some(test);
        let opening = Opening {
            session,
            level: options.level(),
            test: name,
            holder: lane.lock.holder(),
            version_num: setting.server.version_num,
        };
        let mut connection = connection.into_inner();
        let mut opened = guard::open(&mut connection, &opening).await;
        if matches!(session, Session::Used { .. })
            && opened.as_ref().is_err_and(sql_error::is_server_gone)
        {
            connection = pool.reconnect(&lane.database, test).await?;
            test.clone_into(&mut lane.session_name);
            let again = Opening {
                session: new,
                test: None,
                ..opening
            };
            opened = guard::open(&mut connection, &again).await;
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
            on_drop,
        })
    }

    /// Opens a savepoint. Code under test may commit it or roll it back like a transaction.
    ///
    /// # Errors
    /// As for [`sqlx::Connection::begin`].
    pub async fn begin(&mut self) -> std::result::Result<Transaction<'_, Postgres>, sqlx::Error> {
        self.get_mut().connection.begin().await
    }

    /// A URL of the database, for `psql` and other drivers. Their sessions are read only and do not
    /// see what the transaction wrote.
    #[must_use]
    pub fn url(&self) -> String {
        let open = self.get();
        open.lane.read_only_url(&open.pool.setting().conn)
    }

    /// Checks deferred constraints as a commit would, and rolls back.
    ///
    /// # Errors
    /// - [`ConstraintViolated`](crate::ErrorKind::ConstraintViolated): a deferred constraint or
    ///   trigger rejected what the test wrote.
    /// - [`TransactionEscaped`](crate::ErrorKind::TransactionEscaped): the test had ended
    ///   the transaction by itself.
    /// - [`ServerLost`](crate::ErrorKind::ServerLost): the server is gone.
    ///
    /// # Cancel safety
    /// If the future is dropped, the database is copied again before its next use.
    pub async fn close(mut self) -> Result<()> {
        self.take().close().await
    }

    /// Commits what the test wrote and keeps the database, so that a person can inspect it. It
    /// exists for an hour, or for as long as `keep_for` specifies.
    ///
    /// # Errors
    /// The commit fails, for example because of a deferred constraint, or the server is gone.
    ///
    /// # Cancel safety
    /// If the future is dropped, the database may be kept or not.
    pub async fn keep(mut self) -> Result<KeptDatabase> {
        self.take().keep().await
    }

    fn take(&mut self) -> OpenTx {
        self.open.take().expect(OPEN_UNTIL_CONSUMED)
    }

    fn get(&self) -> &OpenTx {
        self.open.as_ref().expect(OPEN_UNTIL_CONSUMED)
    }

    fn get_mut(&mut self) -> &mut OpenTx {
        self.open.as_mut().expect(OPEN_UNTIL_CONSUMED)
    }
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
            self.on_drop.apply(Checkout::Tx(open));
        }
    }
}
