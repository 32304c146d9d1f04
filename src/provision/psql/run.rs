//! Executes a file, unit by unit.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::command::Command;
use super::conflicts::{EXPLAIN_PREFIX, count_conflicts};
use super::data::{self, DataError};
use super::file::PsqlFile;
use super::reader::{Reader, Statement, Unit};
use super::refusal::Refusals;
use super::session::{Session, Transactions};
use super::statement::StatementKind;
use crate::error::Result;
use crate::lexer::Tokens;
use crate::provision::inserted_rows::RowCounts;

/// A file that begins with this comment runs outside of a transaction, as in sqlx.
const NO_TRANSACTION_PREFIX: &str = "-- no-transaction";

const MEGABYTE: usize = 1_000_000;

/// What a file has done.
#[derive(Debug, Default)]
pub(in crate::provision) struct Executed {
    pub(in crate::provision) inserted: RowCounts,
    /// The rows that conflict with existing ones.
    pub(in crate::provision) skipped: RowCounts,
    /// What was skipped and why, one line each.
    pub(in crate::provision) notes: Vec<String>,
}

impl PsqlFile<'_> {
    /// Executes all units of the file in a session that is new, or was not used by another file.
    pub(in crate::provision) async fn execute(
        self,
        connection: &mut PgConnection,
    ) -> Result<Executed> {
        let mut reader = Reader::open(self.file, self.kind)?;
        let transactions = if reader.starts_with(NO_TRANSACTION_PREFIX)? {
            Transactions::OfTheFile
        } else {
            Transactions::Ours
        };
        let mut session = Session::begin(connection, transactions, self.timeout).await?;
        reader.scan.strings = session.strings().await?;
        reader.scan.variables = Some(BTreeSet::new());
        let execution = Execution {
            refusals: Refusals { file: self },
            reader,
            session,
            executed: Executed::default(),
            restricted_by: None,
            skipped_commands: BTreeSet::new(),
            megabytes: 0,
        };
        execution.run().await
    }
}

/// The execution of one file.
struct Execution<'a> {
    refusals: Refusals<'a>,
    reader: Reader<'a>,
    session: Session<'a>,
    executed: Executed,
    /// The key of `\restrict`, until `\unrestrict`.
    restricted_by: Option<String>,
    /// The names of skipped commands. A note is written for the first of each.
    skipped_commands: BTreeSet<String>,
    megabytes: usize,
}

impl Execution<'_> {
    async fn run(mut self) -> Result<Executed> {
        let mut is_quit = false;
        while !is_quit && let Some(unit) = self.reader.next()? {
            match unit {
                Unit::Statement(statement) => self.statement(&statement).await?,
                Unit::Command { text, offset, open } => {
                    is_quit = self.command(&text, offset, open.as_ref()).await?;
                }
                Unit::Variable { text, offset } => {
                    return Err(self.refusals.variable(&text, offset));
                }
            }
            report_megabytes(
                &self.refusals.file,
                &mut self.megabytes,
                self.reader.position(),
            );
        }
        self.end().await
    }

    /// Executes a command. Returns whether it ends the file.
    async fn command(
        &mut self,
        text: &str,
        offset: usize,
        open: Option<&Statement>,
    ) -> Result<bool> {
        let command = Command::parse(text);
        let is_end_of_restriction = matches!(command, Command::Unrestrict(_));
        if self.restricted_by.is_some() && !is_end_of_restriction {
            return Err(self.refusals.restricted_command(text, offset));
        }
        match (command, open) {
            (Command::Go, Some(statement)) => self.statement(statement).await?,
            (Command::Refused(refusal), _) => {
                return Err(self.refusals.command(text, offset, &refusal));
            }
            (_, Some(_)) => return Err(self.refusals.command_within_statement(text, offset)),
            // psql would execute the last statement again.
            (Command::Go, None) => return Err(self.refusals.repeated_statement(text, offset)),
            (Command::Quit, None) => return Ok(true),
            (Command::Restrict(key), None) => self.restricted_by = Some(key.to_owned()),
            (Command::Unrestrict(key), None) if self.restricted_by.as_deref() == Some(key) => {
                self.restricted_by = None;
            }
            (Command::Unrestrict(_), None) => {
                return Err(self.refusals.wrong_key(text, offset));
            }
            (Command::Set(name), None) => {
                let variables = self.reader.scan.variables.get_or_insert_default();
                variables.insert(name.to_owned());
            }
            (Command::Unset(name), None) => {
                self.reader
                    .scan
                    .variables
                    .get_or_insert_default()
                    .remove(name);
            }
            (Command::Skip, None) => {
                let name = text.split_ascii_whitespace().next().unwrap_or(text);
                if self.skipped_commands.insert(name.to_owned()) {
                    self.note(
                        offset,
                        &format!("skipped {name}, which changes no database"),
                    )?;
                }
            }
        }
        Ok(false)
    }

    /// Executes a statement, and what its kind needs around it.
    async fn statement(&mut self, statement: &Statement) -> Result<()> {
        if statement.text.contains('\0') {
            return Err(self.refusals.nul(statement));
        }
        match StatementKind::of(&statement.text) {
            StatementKind::CopyIn => self.copy_in(statement).await,
            StatementKind::CopyOut => {
                let copy = data::copy_out(&mut *self.session.connection, &statement.text);
                match tokio::time::timeout_at(self.session.deadline, copy).await {
                    Ok(copied) => {
                        copied.map_err(|error| self.refusals.statement(statement, 0, error))
                    }
                    Err(_) => Err(self.refusals.timed_out(statement, self.session.pid).await),
                }
            }
            StatementKind::Listen => {
                // The driver cannot read a notification, and psql only prints it.
                self.note(
                    statement.offset,
                    "skipped LISTEN, which changes no database",
                )
            }
            StatementKind::TransactionControl => {
                self.hand_over().await?;
                self.send(statement).await
            }
            StatementKind::DumpSetting(name) => {
                let setting = self.session.setting(&name).await;
                match setting.map_err(|error| self.refusals.statement(statement, 0, error))? {
                    Some(_) => self.send(statement).await,
                    None => self.skip_setting(statement, &name),
                }
            }
            StatementKind::ChangesStrings => {
                self.send(statement).await?;
                let strings = self.session.strings().await;
                self.reader.scan.strings =
                    strings.map_err(|error| self.refusals.statement(statement, 0, error))?;
                Ok(())
            }
            StatementKind::Other => self.send(statement).await,
        }
    }

    /// psql reports an error for a setting that the server does not know, and goes on.
    fn skip_setting(&mut self, statement: &Statement, name: &str) -> Result<()> {
        let version = self.session.connection.server_version_num();
        let major = version.map_or(0, |version| version / 10_000);
        self.note(
            statement.offset,
            &format!("skipped SET {name}, a setting that PostgreSQL {major} does not have"),
        )
    }

    async fn send(&mut self, statement: &Statement) -> Result<()> {
        // Without ON CONFLICT no row is left out, and EXPLAIN prints every constant of the
        // statement, which takes as long as the statement itself.
        let is_insert = || {
            let first = Tokens::new(&statement.text).next();
            first.is_some_and(|word| word.is_word("insert") || word.is_word("with"))
        };
        let is_counted = statement.has_conflict && is_insert();
        let prefix = if is_counted { EXPLAIN_PREFIX } else { "" };
        let sent = AssertSqlSafe(format!("{prefix}{}", statement.text));
        let deadline = self.session.deadline;
        let query = sqlx::raw_sql(sent);
        let connection = &mut *self.session.connection;
        let result = if is_counted {
            let rows = tokio::time::timeout_at(deadline, query.fetch_all(connection)).await;
            rows.map(|rows| {
                let plan: Option<String> =
                    rows?.first().and_then(|row| row.try_get_unchecked(0).ok());
                count_conflicts(&plan.unwrap_or_default(), &mut self.executed.skipped);
                Ok(())
            })
        } else {
            let done = tokio::time::timeout_at(deadline, query.execute(connection)).await;
            done.map(|done| done.map(drop))
        };
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                let prefix_chars = prefix.chars().count();
                Err(self.refusals.statement(statement, prefix_chars, error))
            }
            Err(_) => Err(self.refusals.timed_out(statement, self.session.pid).await),
        }
    }

    async fn copy_in(&mut self, statement: &Statement) -> Result<()> {
        let (deadline, file) = (self.session.deadline, self.refusals.file);
        let megabytes = &mut self.megabytes;
        let on_chunk = |position| report_megabytes(&file, megabytes, position);
        let connection = &mut *self.session.connection;
        let copy = data::copy_in(connection, &statement.text, &mut self.reader, on_chunk);
        match tokio::time::timeout_at(deadline, copy).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(DataError::File(error))) => Err(error),
            Ok(Err(DataError::Statement(error))) => {
                Err(self.refusals.statement(statement, 0, error))
            }
            Ok(Err(DataError::Data(error, offset))) => {
                Err(self.refusals.data(statement, offset, error))
            }
            Err(_) => Err(self.refusals.timed_out(statement, self.session.pid).await),
        }
    }

    /// Commits our transaction before the file's first BEGIN, COMMIT or ROLLBACK: under psql,
    /// everything before it is committed.
    async fn hand_over(&mut self) -> Result<()> {
        if self.session.transactions == Transactions::Ours {
            self.session.count_inserted().await?;
            let committed = self.session.commit().await;
            committed.map_err(|error| self.refusals.commit(error))?;
            self.session.leave_to_file().await?;
        }
        Ok(())
    }

    async fn end(mut self) -> Result<Executed> {
        if self.session.transactions == Transactions::OfTheFile
            && self.session.is_in_transaction().await?
        {
            return Err(self.refusals.open_transaction());
        }
        self.session.restore_encoding().await?;
        self.session.count_inserted().await?;
        if self.session.transactions == Transactions::Ours {
            let committed = self.session.commit().await;
            committed.map_err(|error| self.refusals.commit(error))?;
        }
        self.executed.inserted = self.session.into_inserted();
        Ok(self.executed)
    }

    fn note(&mut self, offset: usize, text: &str) -> Result<()> {
        let note = format!("{}: {text}", self.refusals.line(offset)?);
        tracing::info!("{note}");
        self.executed.notes.push(note);
        Ok(())
    }
}

fn report_megabytes(file: &PsqlFile<'_>, reported: &mut usize, position: usize) {
    if position / MEGABYTE > *reported {
        *reported = position / MEGABYTE;
        (file.on_megabyte)(*reported as u64);
    }
}
