//! A refused statement, told with its place in the file.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use super::advice;
use super::script::Script;
use crate::conn;
use crate::error::{Error, ErrorKind};

/// A statement of a file that the server refused.
#[derive(Debug)]
pub(super) struct Refusal<'a> {
    pub(super) kind: ErrorKind,
    /// What was going on: `migration 3 (add users) failed`.
    pub(super) message: String,
    pub(super) script: &'a Script,
    /// Byte offset in the script of the text that was sent, and characters sent in front of it.
    pub(super) sent_from: usize,
    pub(super) prefix_characters: usize,
    /// Every migration, for advice that needs to know them.
    pub(super) all: &'a [Script],
}

impl Refusal<'_> {
    pub(super) fn report(self, error: sqlx::Error) -> Error {
        let Some(refused) = database_error(&error) else {
            return asking(&self.message, error);
        };
        let offset = self.offset(refused);
        let position = self.script.position_of_byte(offset);
        let kind = if refused.code() == "53100" { ErrorKind::OutOfSpace } else { self.kind };
        let place = format!("{}:{}:{}", self.script.name(), position.line, position.column);
        let report = Error::new(kind, format!("{} at {place}: {}", self.message, refused.message()))
            .with_evidence("the statement", self.script.excerpt(offset))
            .with_evidence("the server says", server_says(refused));
        let report = match advice::on(refused.code(), refused.message(), self.all) {
            Some(help) => report.with_help(help),
            None => report,
        };
        report.with_source(error)
    }

    /// Where the server points, else where the statement starts.
    fn offset(&self, refused: &PgDatabaseError) -> usize {
        match refused.position() {
            Some(PgErrorPosition::Original(position)) if position > self.prefix_characters => {
                self.script.byte_of_char(self.sent_from, position - self.prefix_characters)
            }
            _ => self.sent_from,
        }
    }
}

/// Whether the server pointed at a place in the statement.
pub(super) fn has_position(error: &sqlx::Error) -> bool {
    database_error(error).is_some_and(|error| matches!(error.position(), Some(PgErrorPosition::Original(_))))
}

/// Everything of an error's fields that helps a person.
pub(super) fn server_says(refused: &PgDatabaseError) -> String {
    let mut lines = vec![format!("SQLSTATE {}: {}", refused.code(), refused.message())];
    lines.extend(refused.detail().map(|text| format!("detail: {text}")));
    lines.extend(refused.hint().map(|text| format!("hint: {text}")));
    lines.extend(refused.constraint().map(|text| format!("constraint: {text}")));
    lines.extend(refused.r#where().map(|text| format!("where: {text}")));
    lines.join("\n")
}

pub(super) fn database_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

/// A question of our own that failed.
pub(super) fn asking(step: &str, error: sqlx::Error) -> Error {
    let kind = if conn::is_server_gone(&error) { ErrorKind::ServerLost } else { ErrorKind::Database };
    Error::new(kind, format!("{step}: no answer")).with_source(error)
}
