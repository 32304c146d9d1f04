//! The errors for units of a file that cannot run, each with its place and a remedy.

use std::io::{BufRead as _, Read as _};

use super::command::Refusal;
use super::file::PsqlFile;
use super::help;
use super::reader::Statement;
use crate::error::{Error, Result};
use crate::provision::refused_statement::RefusedStatement;
use crate::provision::sql_script::Script;
use crate::provision::timed_out::{CancelledStatement, timed_out};
use crate::sql_error;

/// Makes the errors of one file.
pub(super) struct Refusals<'a> {
    pub(super) file: PsqlFile<'a>,
}

impl Refusals<'_> {
    /// A statement that the server refused. `prefix_chars` were sent before its text.
    pub(super) fn statement(
        &self,
        statement: &Statement,
        prefix_chars: usize,
        error: sqlx::Error,
    ) -> Error {
        let offset = statement.offset;
        if let Some(message) = sql_error::unexpected_message(&error) {
            let (reason, remedy) = help::for_unexpected(message);
            let problem = format!("the statement cannot run: {reason}");
            return self
                .refused(offset, "the statement", &problem, remedy)
                .with_source(error);
        }
        let own_help = help::for_statement(&error, &statement.text, prefix_chars);
        self.report(offset, prefix_chars, own_help, error)
    }

    /// Data that the server refused. They begin at this byte of the file.
    pub(super) fn data(&self, statement: &Statement, offset: usize, error: sqlx::Error) -> Error {
        let line = sql_error::refusal(&error)
            .and_then(|refused| help::line_of_data(refused.r#where()?))
            .and_then(|line| self.byte_of_line(offset, line).ok());
        let help = help::for_data(&error);
        self.report(line.unwrap_or(statement.offset), 0, help, error)
    }

    /// A transaction of ours that the server refused to commit.
    pub(super) fn commit(&self, error: sqlx::Error) -> Error {
        let PsqlFile { file, kind, .. } = &self.file;
        let step = format!("{} {}", file.noun, file.display_path);
        if let Some(message) = sql_error::unexpected_message(&error) {
            let (reason, remedy) = help::for_unexpected(message);
            return Error::new(*kind, format!("{step} failed at its commit: {reason}"))
                .with_help(remedy)
                .with_source(error);
        }
        let Some(refused) = sql_error::refusal(&error) else {
            return sql_error::failed(&step, error);
        };
        let kind = sql_error::kind_of(&error, *kind);
        let report = sql_error::server_report(refused);
        Error::new(
            kind,
            format!("{step} failed at its commit: {}", refused.message()),
        )
        .with_evidence("server error", report)
        .with_help(
            "a deferred constraint does not hold when the file's transaction commits: correct the \
             rows or the constraint",
        )
        .with_source(error)
    }

    pub(super) async fn timed_out(&self, statement: &Statement, pid: i32) -> Error {
        let PsqlFile {
            file,
            step,
            target,
            timeout,
            ..
        } = &self.file;
        let waited_for = target.cancel(pid).await;
        let located = self.located(statement.offset);
        let statement = match (&located, waited_for) {
            (Ok((script, offset)), Some(waited_for)) => Some(CancelledStatement {
                script,
                offset: *offset,
                waited_for,
            }),
            _ => None,
        };
        timed_out(step, &file.display_path, *timeout, statement)
    }

    pub(super) fn command(&self, text: &str, offset: usize, refusal: &Refusal) -> Error {
        let name = command_name(text);
        let problem = format!("{name} cannot run: {}", refusal.reason);
        self.refused(offset, "the command", &problem, refusal.remedy)
    }

    pub(super) fn command_within_statement(&self, text: &str, offset: usize) -> Error {
        let problem = format!("{} stands within a statement", command_name(text));
        let remedy = "end the statement before it with a semicolon";
        self.refused(offset, "the command", &problem, remedy)
    }

    pub(super) fn repeated_statement(&self, text: &str, offset: usize) -> Error {
        let name = command_name(text);
        let problem = format!("{name} would run the statement before it once more");
        self.refused(offset, "the command", &problem, "write the statement twice")
    }

    pub(super) fn restricted_command(&self, text: &str, offset: usize) -> Error {
        let problem = format!(
            "{} stands after \\restrict, where psql only accepts \\unrestrict",
            command_name(text)
        );
        let remedy = "move the command before \\restrict, or check who wrote it into the dump";
        self.refused(offset, "the command", &problem, remedy)
    }

    pub(super) fn wrong_key(&self, text: &str, offset: usize) -> Error {
        let problem = format!(
            "{} must have the key of the \\restrict before it",
            command_name(text)
        );
        let remedy = "make the dump once more: a dump begins and ends with the same key";
        self.refused(offset, "the command", &problem, remedy)
    }

    pub(super) fn variable(&self, text: &str, offset: usize) -> Error {
        let problem = format!("psql would replace {text}, and variables are not replaced here");
        let remedy = "write the value instead of the variable";
        self.refused(offset, "the variable", &problem, remedy)
    }

    pub(super) fn nul(&self, statement: &Statement) -> Error {
        let at = statement.text.find('\0').unwrap_or_default();
        let problem = "SQL must not contain the character NUL (U+0000)";
        let remedy = "remove the character, or save the file with UTF-8 encoding instead of UTF-16";
        self.refused(statement.offset + at, "the place", problem, remedy)
    }

    pub(super) fn open_transaction(&self) -> Error {
        let PsqlFile { file, kind, .. } = &self.file;
        Error::new(
            *kind,
            format!(
                "a {} must end the transactions that it begins, but {} ends within one",
                file.noun, file.display_path
            ),
        )
        .with_help("write COMMIT at the end: psql would roll back everything after the last BEGIN")
    }

    /// `name:line` of a byte of the file.
    pub(super) fn line(&self, offset: usize) -> Result<String> {
        let (script, offset) = self.located(offset)?;
        let line = script.position_of_byte(offset).line;
        Ok(format!("{}:{line}", script.name()))
    }

    fn refused(&self, offset: usize, what: &str, problem: &str, remedy: &str) -> Error {
        let located = self.located(offset);
        let (script, offset) = match located {
            Ok(located) => located,
            Err(error) => return error,
        };
        let place = script.place(offset);
        Error::new(
            self.file.kind,
            format!("{} failed at {place}: {problem}", self.file.step),
        )
        .with_evidence(what, script.excerpt(offset))
        .with_help(remedy)
    }

    fn report(
        &self,
        offset: usize,
        prefix_chars: usize,
        own_help: Option<String>,
        error: sqlx::Error,
    ) -> Error {
        let (script, sent_offset) = match self.located(offset) {
            Ok(located) => located,
            Err(error) => return error,
        };
        RefusedStatement {
            kind: self.file.kind,
            step: self.file.step.to_owned(),
            script: &script,
            sent_offset,
            prefix_chars,
            migrations: self.file.migrations,
            own_help,
        }
        .report(error)
    }

    /// The whole file as a script, and a byte of the file as a byte of the script. They differ if
    /// the data of a COPY are not UTF-8.
    fn located(&self, offset: usize) -> Result<(Script, usize)> {
        let file = self.file.file;
        let mut bytes = Vec::new();
        file.open()
            .and_then(|mut source| source.read_to_end(&mut bytes))
            .map_err(|error| self.unreadable(error))?;
        let text = bytes
            .strip_prefix("\u{feff}".as_bytes())
            .unwrap_or(bytes.as_slice());
        let (before, after) = text.split_at(offset.min(text.len()));
        let mut script = String::from_utf8_lossy(before).into_owned();
        let offset = script.len();
        script.push_str(&String::from_utf8_lossy(after));
        Ok((Script::part(&file.display_path, script), offset))
    }

    /// The byte at which a line of the data begins. Lines count from 1.
    fn byte_of_line(&self, data_offset: usize, line: usize) -> Result<usize> {
        let unreadable = |error| self.unreadable(error);
        let mut source = std::io::BufReader::new(self.file.file.open().map_err(unreadable)?);
        let mark = "\u{feff}".as_bytes();
        let starts_with_mark = source.fill_buf().map_err(unreadable)?.starts_with(mark);
        let mut skipped = data_offset + if starts_with_mark { mark.len() } else { 0 };
        while skipped > 0 {
            let length = source.fill_buf().map_err(unreadable)?.len().min(skipped);
            source.consume(length);
            skipped -= length;
            if length == 0 {
                break;
            }
        }
        let mut byte = data_offset;
        let mut text = Vec::new();
        for _ in 1..line {
            text.clear();
            byte += source.read_until(b'\n', &mut text).map_err(unreadable)?;
        }
        Ok(byte)
    }

    fn unreadable(&self, error: std::io::Error) -> Error {
        Error::new(
            self.file.kind,
            format!("{} cannot be read", self.file.file.display_path),
        )
        .with_source(error)
    }
}

/// The name of a command with its backslash.
fn command_name(text: &str) -> &str {
    text.split_ascii_whitespace().next().unwrap_or(text)
}
