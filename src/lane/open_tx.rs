//! A lane inside a guarded transaction: the transaction's beginning and its end.

use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnection;

use super::active_tests::{EndWatch, TestPresence};
use super::checkout::OpenLane;
use super::in_use::LaneInUse;
use super::kept::{self, KeptDatabase};
use super::lane_use::LaneUse;
use super::leased::LaneConnection;
use super::login::Login;
use super::request::LaneRequest;
use super::tx_options::TxOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{self, CloseResult, Closing, Opening, Outcome, Session};
use crate::sql_error;

/// A lane inside a guarded transaction.
pub(super) struct OpenTx {
    pub(super) in_use: LaneInUse,
    pub(super) connection: PgConnection,
    options: TxOptions,
}

impl OpenLane for OpenTx {
    fn in_use(&self) -> &LaneInUse {
        &self.in_use
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let connection = if self.options.has_savepoints() {
                LaneConnection::Relayed(self.connection)
            } else {
                LaneConnection::Used(self.connection)
            };
            close(self.in_use, connection).await
        })
    }

    fn keep(mut self: Box<Self>) -> BoxFuture<'static, Result<KeptDatabase>> {
        Box::pin(async move {
            kept::commit(&self.in_use.lanes, &mut self.connection).await?;
            kept::keep(self.in_use, self.connection).await
        })
    }
}

impl OpenTx {
    /// Acquires a lane and opens the transaction. An idle lane needs one round trip.
    pub(super) async fn open(request: &LaneRequest, options: TxOptions) -> Result<Self> {
        let (mut in_use, connection) = if options.has_savepoints() {
            let in_use = request.acquire(LaneUse::Relayed).await?;
            let (in_use, connection) = in_use.relayed().await?;
            (in_use, LaneConnection::Relayed(connection))
        } else {
            let mut in_use = request.acquire(LaneUse::Transaction).await?;
            let (lanes, lane, test) = (&in_use.lanes, &mut in_use.lane, &in_use.test);
            let mut connection = lane
                .connection
                .take()
                .expect("a lane for a transaction comes with its connection");
            if lane.session_database != lane.database || lane.login != Login::Test {
                // A reset has renamed the database. The server's log shows the old name for as long
                // as the session lasts, and reports find the test's entries by the database's name.
                // So a new session is needed.
                drop(connection);
                connection = LaneConnection::New(lanes.reconnect(&lane.database, test).await?);
                test.clone_into(&mut lane.session_name);
                lane.session_database = lane.database.clone();
                lane.login = Login::Test;
            }
            (in_use, connection)
        };
        let (lanes, lane, test) = (&in_use.lanes, &mut in_use.lane, in_use.test.as_str());
        let setting = lanes.setting();
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
        let opening = Opening {
            session,
            level: options.level(),
            test: (lane.session_name != test).then_some(test),
            holder: lane.lock.holder(),
            version_num: setting.server.version_num,
            is_read_only: lanes.is_read_only(),
        };
        let mut connection = connection.into_inner();
        let mut opened = guard::open(&mut connection, &opening).await;
        // A used session may have ended since the last test, by `idle_session_timeout` or an
        // administrator. Then this connects again. If the server itself is gone, connecting reports
        // that.
        if matches!(session, Session::Used { .. })
            && opened.as_ref().is_err_and(sql_error::is_server_gone)
        {
            connection = lanes.reconnect(&lane.database, test).await?;
            test.clone_into(&mut lane.session_name);
            let again = Opening {
                session: new,
                test: None,
                ..opening
            };
            opened = guard::open(&mut connection, &again).await;
        }
        opened.map_err(|error| lanes.diagnose("opening the test's transaction", error))?;
        Ok(Self {
            in_use,
            connection,
            options,
        })
    }
}

/// Ends a guarded transaction and puts its lane back.
pub(super) async fn close(in_use: LaneInUse, mut connection: LaneConnection) -> Result<()> {
    let LaneInUse {
        lanes,
        mut lane,
        test,
        ..
    } = in_use;
    // From here on the test is marked as ending, and statements that still run are cancelled after
    // a grace period.
    let watch = lane.presence.as_ref().map(TestPresence::end);
    let has_cancelled = || watch.as_ref().is_some_and(EndWatch::has_cancelled);
    let server = &lanes.setting().server;
    let closing = Closing {
        version_num: server.version_num,
        deferrable: lanes.deferrable(),
        owns_log: !server.outlives_us(),
        login: lanes.session_login(),
    };
    let was_unknown = !closing.deferrable.are_absent();
    let CloseResult { outcome, remains } =
        guard::close(connection.get(), closing, has_cancelled).await;
    if was_unknown && closing.deferrable.are_absent() {
        // The first test of a later process then ends with one message, too.
        lanes.lane_locks().record_only_immediate_constraints();
    }
    // Before the lane is put back, because the statements of the next test must not be cancelled.
    drop(watch);
    lane.connection = Some(connection);
    // The next test compares the count at its end with this one, and so detects a client that
    // connects between the two tests.
    lane.session_count = remains.session_count;
    match outcome {
        Outcome::Clean => lanes.put_back_after_rollback(lane, remains).await,
        Outcome::ConstraintViolated(error) => {
            // The server has rolled back, so the lane serves the next test.
            lanes.put_back_after_rollback(lane, remains).await?;
            let constraint = error
                .as_database_error()
                .and_then(|error| error.constraint())
                .map(str::to_owned);
            let violated = constraint.map_or("a deferred trigger".to_owned(), |name| {
                format!("the deferred constraint {name}")
            });
            let server_error = sql_error::refusal(&error)
                .map(sql_error::server_report)
                .unwrap_or_default();
            Err(Error::new(
                ErrorKind::ConstraintViolated,
                format!("{violated} does not hold at the end of test {test}"),
            )
            .with_evidence("server error", server_error)
            .with_source(error)
            .with_help(
                "a commit of what the test wrote would have failed; fix the test's data or the \
                 code under test",
            ))
        }
        // In both cases the lane is dropped without being put back, which closes its session. Its
        // mark of use makes the next holder copy it.
        Outcome::Escaped => Err(escaped_error(&test)),
        Outcome::Lost(error) => Err(lanes.diagnose("closing the test's transaction", error)),
    }
}

/// The error for a test that has ended the guarded transaction.
pub(super) fn escaped_error(test: &str) -> Error {
    Error::new(
        ErrorKind::TransactionEscaped,
        format!("test {test} ended the transaction that ebbtide had opened for it"),
    )
    .with_help(
        "look for COMMIT, ROLLBACK or ROLLBACK AND CHAIN in plain SQL, and for `begin_with`; use \
         `begin()` in the code under test, or let the test take an `ebbtide::Database`, which has \
         no transaction around it",
    )
}
