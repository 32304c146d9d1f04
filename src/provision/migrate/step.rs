//! Applies one migration file, writes the migration into the ledger, and locates the statement that
//! failed.
//!
//! ```text
//! begin -> execute -> write the ledger row -> commit -> write what the tool adds after it
//!             |                                  |
//!             |                                  +-- refused: a deferred constraint does not hold
//!             +-- refused: error position, else the statement after the last completed one
//!             +-- timed out: cancel in a second session, read the results so far, report
//! ```
//!
//! A file that runs outside of a transaction has no `begin` and no `commit`. For any other file the
//! ledger row is written in the file's transaction, so it exists exactly if the migration is
//! committed. No failure is rolled back: the caller drops the database.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Either};

use super::context::MigrationContext;
use super::message::Message;
use crate::error::{Error, ErrorKind, Result};
use crate::provision::direction::Direction;
use crate::provision::provision_report::MigrationReport;
use crate::provision::psql::in_migration;
use crate::provision::refused_statement::{self, RefusedStatement};
use crate::provision::session_change::last_session_change;
use crate::provision::sql_script::Script;
use crate::provision::timed_out::{self, CancelledStatement};
use crate::sql_error;

/// How long each further result may take after the file's message was cancelled. The results count
/// the statements that were completed before.
const CANCEL_RESULTS_TIMEOUT: Duration = Duration::from_secs(5);

/// One migration file, applied as its tool would apply it.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) direction: Direction,
    pub(super) version: String,
    pub(super) description: String,
    /// The file, to locate statements in it.
    pub(super) script: Option<Cow<'a, Script>>,
    /// What is sent, one message after the other.
    pub(super) messages: Vec<Message<'a>>,
    pub(super) transaction: Transaction,
    pub(super) ledger_write: LedgerWrite,
}

/// Whether a file runs in a transaction of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transaction {
    Own,
    None,
}

/// What a step writes into the tool's ledger.
#[derive(Debug)]
pub(super) enum LedgerWrite {
    Statement { ledger: &'static str, sql: String },
    Custom(Box<dyn WriteLedger>),
}

/// Writes a ledger that needs more than one statement in the migration's transaction.
pub(super) trait WriteLedger: fmt::Debug + Send + Sync {
    /// Writes the row of the applied migration, in the migration's transaction.
    fn write<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<()>>;

    /// Runs after the commit. `took` is the time from `begin` to the end of `commit`.
    fn after_commit<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        took: Duration,
    ) -> BoxFuture<'a, Result<()>>;
}

/// An up migration, with its down migration if there is one.
#[derive(Debug)]
pub(in crate::provision) struct Reversal<'a> {
    pub(super) up: Step<'a>,
    pub(super) down: Option<Step<'a>>,
}

impl Reversal<'_> {
    pub(in crate::provision) fn version(&self) -> &str {
        &self.up.version
    }

    pub(in crate::provision) fn description(&self) -> &str {
        &self.up.description
    }

    /// Runs the up migration.
    pub(in crate::provision) async fn up(&self, context: &mut MigrationContext<'_>) -> Result<()> {
        context
            .apply_all(std::slice::from_ref(&self.up))
            .await
            .map(drop)
    }

    pub(in crate::provision) fn has_down(&self) -> bool {
        self.down.is_some()
    }

    /// Runs the down migration, if there is one.
    pub(in crate::provision) async fn down(
        &self,
        context: &mut MigrationContext<'_>,
    ) -> Result<()> {
        match &self.down {
            Some(down) => context
                .apply_all(std::slice::from_ref(down))
                .await
                .map(drop),
            None => Ok(()),
        }
    }
}

/// Why the statements of a file did not all succeed.
enum ExecuteError {
    /// The server refused a statement.
    Refused(sqlx::Error, Reached),
    /// `provision.timeout` is over. If the server answered: the statement that it was executing,
    /// and what that statement was waiting for.
    TimedOut(Option<(Reached, String)>),
}

/// How far the statements of a file came.
#[derive(Clone, Copy)]
struct Reached {
    /// The index of the message.
    message: usize,
    /// The number of the message's statements that were completed.
    done: usize,
}

impl Step<'_> {
    fn script(&self) -> Option<&Script> {
        self.script.as_deref()
    }

    /// What errors call the step: `migration 3 (add users)`.
    fn label(&self) -> String {
        let (direction, version) = (
            if self.direction == Direction::Down {
                "reverting "
            } else {
                ""
            },
            &self.version,
        );
        match self.description.as_str() {
            "" => format!("{direction}migration {version}"),
            description => format!("{direction}migration {version} ({description})"),
        }
    }

    /// The byte of the file at which the statement after the completed ones starts.
    fn offset(&self, reached: Reached) -> usize {
        self.messages[reached.message].offset_of_statement(reached.done)
    }
}

impl MigrationContext<'_> {
    /// Applies the steps in order, and measures each.
    ///
    /// It reads the session's process id first, because a timeout has to cancel exactly this
    /// session. A session that executes a statement cannot answer a query.
    pub(super) async fn apply_all(&mut self, steps: &[Step<'_>]) -> Result<Vec<MigrationReport>> {
        let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(&mut *self.connection)
            .await
            .map_err(|error| sql_error::failed("preparing the migrations", error))?;
        let mut applied = Vec::with_capacity(steps.len());
        for (number, step) in steps.iter().enumerate() {
            let name = if step.description.is_empty() {
                &step.version
            } else {
                &step.description
            };
            self.progress.set_step(&format!(
                "migrating {} of {}: {name}",
                number + 1,
                steps.len()
            ));
            let began = Instant::now();
            self.apply(step, pid).await?;
            if step.direction == Direction::Up {
                let index = step.script().and_then(|it| self.scripts.element_offset(it));
                self.applied.extend(index);
            }
            applied.push(MigrationReport {
                version: Some(step.version.clone()),
                description: step.description.clone(),
                took: began.elapsed(),
            });
        }
        Ok(applied)
    }

    /// Applies one step; see the diagram of this module.
    async fn apply(&mut self, step: &Step<'_>, pid: i32) -> Result<()> {
        let began = Instant::now();
        if step.transaction == Transaction::Own {
            self.run("begin").await?;
        }
        match self.execute(step, pid).await {
            Ok(()) => {}
            Err(ExecuteError::Refused(error, reached)) => {
                return Err(self.refused(step, error, reached));
            }
            Err(ExecuteError::TimedOut(progress)) => {
                return Err(timed_out(step, self.timeout, progress));
            }
        }
        let written = match &step.ledger_write {
            LedgerWrite::Statement { ledger, sql } => {
                let written = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
                    .execute(&mut *self.connection)
                    .await;
                written
                    .map(drop)
                    .map_err(|error| ledger_refused(ledger, error))
            }
            LedgerWrite::Custom(ledger) => ledger.write(self.connection).await,
        };
        written.map_err(|error| self.with_session_change(error, step))?;
        if step.transaction == Transaction::Own {
            // The server checks deferred constraints here.
            let committed = sqlx::raw_sql("commit").execute(&mut *self.connection).await;
            committed.map_err(|error| commit_refused(step, error))?;
        }
        if let LedgerWrite::Custom(ledger) = &step.ledger_write {
            let written = ledger.after_commit(self.connection, began.elapsed()).await;
            written.map_err(|error| self.with_session_change(error, step))?;
        }
        Ok(())
    }

    /// The error of a ledger that cannot be written, with the statement that has changed where the
    /// tool searches for it, or who writes it.
    fn with_session_change(&self, error: Error, step: &Step<'_>) -> Error {
        if error.help() == Some(OWN_RUNNER) {
            return error;
        }
        let ran = self.applied.iter().map(|at| &self.scripts[*at]);
        let Some(change) = last_session_change(ran.chain(step.script())) else {
            return error;
        };
        error
            .with_evidence("the session was last changed at", change)
            .with_help(
                "end that file with `reset search_path; reset role;`, or write the schema in front \
                 of the names instead: the tool writes its ledger in the same session, and fails \
                 here too",
            )
    }

    /// Sends the messages one after the other.
    async fn execute(&mut self, step: &Step<'_>, pid: i32) -> Result<(), ExecuteError> {
        let deadline = tokio::time::Instant::now() + self.timeout;
        for (message, sent) in step.messages.iter().enumerate() {
            let mut reached = Reached { message, done: 0 };
            self.send(sent, deadline, pid, &mut reached).await?;
        }
        Ok(())
    }

    /// Sends one message, and counts the completed statements. Most tools send the whole file in
    /// one message.
    ///
    /// One message matters: outside of a transaction, the server runs the statements of a simple
    /// query in one implicit transaction. Sent one by one, the statements would be committed one by
    /// one.
    /// <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT>
    ///
    /// After a timeout the number of completed statements is unknown: the server buffers the
    /// results until the whole message has ended. So a second session cancels it, which makes the
    /// server send the buffered results. If the cancellation failed there is nothing to wait for,
    /// and the error goes without the statement. Each result has a timeout of its own, so a lost
    /// server cannot block the error.
    async fn send(
        &mut self,
        message: &Message<'_>,
        deadline: tokio::time::Instant,
        pid: i32,
        reached: &mut Reached,
    ) -> Result<(), ExecuteError> {
        let mut results = sqlx::raw_sql(AssertSqlSafe(message.text().to_owned()))
            .fetch_many(&mut *self.connection);
        while let Ok(result) = tokio::time::timeout_at(deadline, results.try_next()).await {
            match result {
                Ok(Some(Either::Left(_))) => reached.done += 1,
                Ok(Some(Either::Right(_))) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(ExecuteError::Refused(error, *reached)),
            }
        }
        let Some(waited_for) = self.target.cancel(pid).await else {
            return Err(ExecuteError::TimedOut(None));
        };
        while let Ok(Ok(Some(result))) =
            tokio::time::timeout(CANCEL_RESULTS_TIMEOUT, results.try_next()).await
        {
            reached.done += usize::from(result.is_left());
        }
        Err(ExecuteError::TimedOut(Some((*reached, waited_for))))
    }

    /// The error for a statement that the server refused, with its place in the file.
    fn refused(&self, step: &Step<'_>, error: sqlx::Error, reached: Reached) -> Error {
        let Some(script) = step.script() else {
            return sql_error::failed(&step.label(), error);
        };
        // Many errors have no position, for example a violated constraint. Then the statement is
        // the one after the completed ones. A position counts from the start of the message.
        let (sent_offset, prefix_chars) = match refused_statement::position(&error) {
            Some(position) => step.messages[reached.message].piece_of_char(position),
            None => (step.offset(reached), 0),
        };
        let kind = ErrorKind::Migration;
        if let Some(message) = sql_error::unexpected_message(&error) {
            let offset = step.offset(reached);
            let (reason, remedy) = in_migration::unexpected(message);
            let place = script.place(offset);
            let message = format!("{} failed at {place}: {reason}", step.label());
            return Error::new(kind, message)
                .with_evidence("the statement", script.excerpt(offset))
                .with_help(remedy)
                .with_source(error);
        }
        let own_help = in_migration::help(&error, script);
        RefusedStatement {
            kind,
            step: step.label(),
            script,
            sent_offset,
            prefix_chars,
            migrations: self.all_scripts,
            own_help,
        }
        .report(error)
    }
}

fn timed_out(step: &Step<'_>, timeout: Duration, progress: Option<(Reached, String)>) -> Error {
    let statement = step
        .script()
        .zip(progress)
        .map(|(script, (reached, waited_for))| CancelledStatement {
            script,
            offset: step.offset(reached),
            waited_for,
        });
    let file = step.script().map_or("its file", Script::name);
    timed_out::timed_out(&step.label(), file, timeout, statement)
}

fn commit_refused(step: &Step<'_>, error: sqlx::Error) -> Error {
    if let Some(message) = sql_error::unexpected_message(&error) {
        let (reason, remedy) = in_migration::unexpected(message);
        let message = format!("{} failed at its commit: {reason}", step.label());
        return Error::new(ErrorKind::Migration, message)
            .with_help(remedy)
            .with_source(error);
    }
    let Some(refused) = sql_error::refusal(&error) else {
        return sql_error::failed(&step.label(), error);
    };
    let kind = sql_error::kind_of(&error, ErrorKind::Migration);
    let name = step
        .script()
        .map(|script| format!(" ({})", script.name()))
        .unwrap_or_default();
    Error::new(
        kind,
        format!(
            "{}{name} failed at its commit: {}",
            step.label(),
            refused.message()
        ),
    )
    .with_evidence("server error", sql_error::server_report(refused))
    .with_help(
        "a deferred constraint does not hold when the file's transaction commits: correct the rows \
         or the constraint",
    )
    .with_source(error)
}

/// Help for a ledger whose rows a trigger checks.
const OWN_RUNNER: &str = "a trigger of the migrations refuses the row, so the tool itself fails here, \
     too: let the application's own runner apply the migrations, with a `MigrationCommand` or \
     `Migrations::function`";

/// The error for a ledger that cannot be written, because it lacks the columns that its tool creates,
/// or because of a trigger.
pub(super) fn ledger_refused(ledger: &str, error: impl std::error::Error + 'static) -> Error {
    if code_of(&error) == Some("P0001") {
        let message = format!("the migration ledger {ledger} must accept the rows of its tool");
        return Error::new(ErrorKind::Migration, message)
            .with_help(OWN_RUNNER)
            .with_source(error.to_string());
    }
    changed_ledger(ErrorKind::Migration, ledger, "cannot be written").with_source(error.to_string())
}

/// The code of the server's error among an error and its sources.
fn code_of<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a str> {
    let all = std::iter::successors(Some(error), |error| error.source());
    all.filter_map(|error| error.downcast_ref())
        .find_map(sql_error::code)
}

/// The error for a ledger that cannot be read back after the migrations.
pub(super) fn ledger_unreadable(
    ledger: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    changed_ledger(ErrorKind::LedgerMismatch, ledger, "cannot be read").with_source(error)
}

fn changed_ledger(kind: ErrorKind, ledger: &str, problem: &str) -> Error {
    let message = format!(
        "the migration ledger {ledger} must be as its migration tool created it, but it {problem}"
    );
    Error::new(kind, message)
        .with_help("a migration has dropped or changed the table: leave it to the migration tool")
}
