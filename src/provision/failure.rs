//! A refused statement, told with its place in the file.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use super::advice;
use super::script::Script;
use crate::error::{Error, ErrorKind};
use crate::sql_error;

/// A statement of a file that the server refused.
#[derive(Debug)]
pub(super) struct Refusal<'a> {
    pub(super) kind: ErrorKind,
    /// What was going on: `migration 3 (add users)`.
    pub(super) step: String,
    pub(super) script: &'a Script,
    /// Byte offset in the script of the text that was sent, and characters sent in front of it.
    pub(super) sent_from: usize,
    pub(super) prefix_characters: usize,
    /// Every migration, for advice that needs to know them.
    pub(super) all: &'a [Script],
}

impl Refusal<'_> {
    pub(super) fn report(self, error: sqlx::Error) -> Error {
        let Some(refused) = sql_error::refusal(&error) else {
            return sql_error::failed(&format!("{} ({})", self.step, self.script.name()), error);
        };
        let offset = self.offset(refused);
        let position = self.script.position_of_byte(offset);
        let kind = sql_error::kind_of(&error, self.kind);
        let place = format!(
            "{}:{}:{}",
            self.script.name(),
            position.line,
            position.column
        );
        let report = Error::new(
            kind,
            format!("{} failed at {place}: {}", self.step, refused.message()),
        )
        .with_evidence("the statement", self.script.excerpt(offset))
        .with_evidence("the server says", sql_error::server_says(refused));
        let help = advice::on(refused.code(), refused.message(), self.all);
        let help = help.unwrap_or_else(|| {
            "mend the file and run the tests again; nothing of this database was kept".into()
        });
        report.with_help(help).with_source(error)
    }

    /// Where the server points, else where the statement starts.
    fn offset(&self, refused: &PgDatabaseError) -> usize {
        match refused.position() {
            Some(PgErrorPosition::Original(position)) if position > self.prefix_characters => self
                .script
                .byte_of_char(self.sent_from, position - self.prefix_characters),
            _ => self.sent_from,
        }
    }
}

/// Whether the server pointed at a place in the statement.
pub(super) fn has_position(error: &sqlx::Error) -> bool {
    sql_error::refusal(error)
        .is_some_and(|error| matches!(error.position(), Some(PgErrorPosition::Original(_))))
}
