//! One migration file: applied, written down, and its statement found when it fails.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use sqlx::migrate::{Migrate as _, Migration};
use sqlx::{AssertSqlSafe, Either};

use super::Site;
use super::of_sqlx;
use crate::catalog::SQLX_LEDGER;
use crate::error::{Error, ErrorKind, Result};
use crate::provision::failure::{self, Refusal};
use crate::provision::report::MigrationReport;
use crate::provision::script::Script;
use crate::sql_error;

/// How long the server may take to say what it had done before it was cancelled.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(5);

const MEND_TIMEOUT: &str = "raise provision.timeout or EBBTIDE_PROVISION_TIMEOUT, or look for a lock that the migration waits for";

/// One migration, as its tool would apply it.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) way: Way,
    pub(super) version: String,
    pub(super) description: String,
    /// The file, for places in it; what is sent is `text`.
    pub(super) script: Option<&'a Script>,
    pub(super) text: &'a str,
    pub(super) transaction: Transaction,
    pub(super) record: Record<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

/// Whether a file runs in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transaction {
    Own,
    None,
}

/// What is written into the tool's ledger.
#[derive(Debug)]
pub(super) enum Record<'a> {
    Nothing,
    Sqlx(&'a Migration),
    Statement { ledger: &'static str, sql: String },
}

/// Why a file's statements ended early.
enum Stop {
    /// With the number of statements that were done.
    Refused(sqlx::Error, usize),
    /// With the same, where the server told, and what it waited for.
    TooSlow(Option<(usize, String)>),
}

impl Step<'_> {
    fn label(&self) -> String {
        let (way, version) = (
            if self.way == Way::Down {
                "reverting "
            } else {
                ""
            },
            &self.version,
        );
        match self.description.as_str() {
            "" => format!("{way}migration {version}"),
            description => format!("{way}migration {version} ({description})"),
        }
    }

    /// The byte at which a statement starts, counted from 0.
    fn offset(&self, statement: usize) -> usize {
        let of_script = |script: &Script| {
            script
                .statements()
                .get(statement)
                .map(|statement| statement.offset())
        };
        self.script.and_then(of_script).unwrap_or_default()
    }
}

impl Site<'_> {
    pub(super) async fn apply_all(&mut self, steps: &[Step<'_>]) -> Result<Vec<MigrationReport>> {
        let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(&mut *self.connection)
            .await
            .map_err(|error| sql_error::failed("preparing the migrations", error))?;
        let mut applied = Vec::with_capacity(steps.len());
        for (number, step) in steps.iter().enumerate() {
            let shown = if step.description.is_empty() {
                &step.version
            } else {
                &step.description
            };
            self.progress.say(&format!(
                "migrating {} of {}: {shown}",
                number + 1,
                steps.len()
            ));
            let began = Instant::now();
            self.apply(step, pid).await?;
            applied.push(MigrationReport {
                version: step.version.clone(),
                description: step.description.clone(),
                milliseconds: began.elapsed().as_secs_f64() * 1e3,
            });
        }
        Ok(applied)
    }

    async fn apply(&mut self, step: &Step<'_>, pid: i32) -> Result<()> {
        let began = Instant::now();
        if step.transaction == Transaction::Own {
            self.run("begin").await?;
        }
        match self.execute(step, pid).await {
            Ok(()) => {}
            Err(Stop::Refused(error, done)) => return Err(self.refused(step, error, done)),
            Err(Stop::TooSlow(seen)) => return Err(too_slow(step, self.limit, seen)),
        }
        match &step.record {
            Record::Nothing => {}
            Record::Sqlx(migration) => {
                let written = self.connection.skip(SQLX_LEDGER, migration).await;
                written.map_err(|error| ledger_refused(SQLX_LEDGER, error))?;
            }
            Record::Statement { ledger, sql } => {
                let written = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
                    .execute(&mut *self.connection)
                    .await;
                written.map_err(|error| ledger_refused(ledger, error))?;
            }
        }
        if step.transaction == Transaction::Own {
            // A deferred constraint speaks here.
            let end = sqlx::raw_sql("commit").execute(&mut *self.connection).await;
            end.map_err(|error| at_end(step, error))?;
        }
        if let Record::Sqlx(migration) = &step.record {
            of_sqlx::write_time(self.connection, migration, began.elapsed()).await?;
        }
        Ok(())
    }

    /// Sends the whole file as one message, as the tools do, and counts the statements that are done.
    async fn execute(&mut self, step: &Step<'_>, pid: i32) -> Result<(), Stop> {
        let deadline = tokio::time::Instant::now() + self.limit;
        let mut results =
            sqlx::raw_sql(AssertSqlSafe(step.text.to_owned())).fetch_many(&mut *self.connection);
        let mut done = 0;
        while let Ok(result) = tokio::time::timeout_at(deadline, results.try_next()).await {
            match result {
                Ok(Some(Either::Left(_))) => done += 1,
                Ok(Some(Either::Right(_))) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(Stop::Refused(error, done)),
            }
        }
        // The server keeps to itself what is done until the whole message is, or fails.
        let Some(waited_for) = self.target.cancel(pid).await else {
            return Err(Stop::TooSlow(None));
        };
        while let Ok(Ok(Some(result))) =
            tokio::time::timeout(OUTPUT_TIMEOUT, results.try_next()).await
        {
            done += usize::from(result.is_left());
        }
        Err(Stop::TooSlow(Some((done, waited_for))))
    }

    fn refused(&self, step: &Step<'_>, error: sqlx::Error, done: usize) -> Error {
        let Some(script) = step.script else {
            return sql_error::failed(&step.label(), error);
        };
        // Many errors point nowhere; then it is the statement after those that were done.
        let sent_from = if failure::has_position(&error) {
            0
        } else {
            step.offset(done)
        };
        let kind = ErrorKind::Migration;
        Refusal {
            kind,
            step: step.label(),
            script,
            sent_from,
            prefix_characters: 0,
            all: self.scripts,
        }
        .report(error)
    }
}

fn too_slow(step: &Step<'_>, limit: Duration, seen: Option<(usize, String)>) -> Error {
    let not_done = format!("{} is not done after {limit:?}", step.label());
    let error = match (step.script, seen) {
        (Some(script), Some((done, waited_for))) => {
            let offset = step.offset(done);
            let place = script.position_of_byte(offset);
            let message = format!(
                "{not_done}: {}:{}:{}",
                script.name(),
                place.line,
                place.column
            );
            Error::new(ErrorKind::Timeout, message)
                .with_evidence("the statement", script.excerpt(offset))
                .with_evidence("it waited for", waited_for)
        }
        (script, _) => {
            let name = script.map_or("its file", Script::name);
            Error::new(ErrorKind::Timeout, format!("{not_done} ({name})"))
        }
    };
    error.with_help(MEND_TIMEOUT)
}

fn at_end(step: &Step<'_>, error: sqlx::Error) -> Error {
    let Some(refused) = sql_error::refusal(&error) else {
        return sql_error::failed(&step.label(), error);
    };
    let kind = sql_error::kind_of(&error, ErrorKind::Migration);
    let name = step
        .script
        .map(|script| format!(" ({})", script.name()))
        .unwrap_or_default();
    Error::new(kind, format!("{}{name} failed at its end: {}", step.label(), refused.message()))
        .with_evidence("the server says", sql_error::server_says(refused))
        .with_help(
            "a deferred constraint does not hold when the file's transaction commits: mend the rows or the constraint",
        )
        .with_source(error)
}

/// The tool's own table is not as the tool makes it.
pub(super) fn ledger_refused(ledger: &str, error: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Migration,
        format!("the migration ledger {ledger} cannot be used"),
    )
    .with_source(error.to_string())
    .with_help("a migration has dropped or changed it; that table belongs to the migration tool")
}
