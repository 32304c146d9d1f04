//! A lane inside a guarded transaction, and the end of that transaction.

use sqlx::postgres::PgConnection;

use super::active_tests::{EndWatch, TestPresence};
use super::kept::{self, KeptDatabase};
use super::leased::{Lane, LaneConnection};
use super::pool::LanePool;
use super::report::TestReport;
use super::tx_options::TxOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{self, CloseResult, Closing, Outcome};
use crate::sql_error;
use crate::test_error_help::Isolation;

/// A lane inside a guarded transaction.
pub(crate) struct OpenTx {
    pub(super) pool: LanePool,
    pub(super) lane: Lane,
    pub(super) connection: PgConnection,
    pub(super) options: TxOptions,
    pub(super) test: String,
}

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

/// Ends a guarded transaction and puts its lane back.
///
/// While this runs, the test is marked as ending, and statements that still run are cancelled after
/// a grace period. The mark ends before the lane is put back, because the next test must not be
/// affected.
///
/// After an escape and after a loss of the connection, the lane is dropped without being put back.
/// Its mark of use then makes the next holder copy it.
pub(super) async fn close(
    pool: &LanePool,
    mut lane: Lane,
    mut connection: LaneConnection,
    test: &str,
) -> Result<()> {
    let watch = lane.presence.as_ref().map(TestPresence::end);
    let has_cancelled = || watch.as_ref().is_some_and(EndWatch::has_cancelled);
    let server = &pool.setting().server;
    let closing = Closing {
        version_num: server.version_num,
        deferrable: pool.deferrable(),
        owns_log: !server.outlives_us(),
    };
    let CloseResult { outcome, remains } =
        guard::close(connection.get(), closing, has_cancelled).await;
    drop(watch);
    lane.connection = Some(connection);
    lane.session_count = remains.session_count;
    match outcome {
        Outcome::Clean => pool.put_back_after_rollback(lane, remains).await,
        Outcome::ConstraintViolated(error) => {
            pool.put_back_after_rollback(lane, remains).await?;
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
        Outcome::Escaped => Err(escaped_error(test)),
        Outcome::Lost(error) => Err(pool.diagnose("closing the test's transaction", error)),
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
