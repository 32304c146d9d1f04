//! The error for a statement that the server refused, with its place in the file.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use super::extension_help;
use super::invisible::Invisible;
use super::sql_script::Script;
use super::statement_help;
use crate::error::{Error, ErrorKind};
use crate::sql_error;

/// The end of a help text, where the failure makes ebbtide drop the whole database.
pub(super) const NOTHING_KEPT: &str = "; nothing of this database was kept";

/// A statement of a file that the server refused.
#[derive(Debug)]
pub(super) struct RefusedStatement<'a> {
    pub(super) kind: ErrorKind,
    /// The step that failed: `migration 3 (add users)`.
    pub(super) step: String,
    pub(super) script: &'a Script,
    /// The byte of the script at which the sent text starts.
    pub(super) sent_offset: usize,
    /// How many characters were sent before that text. They are not in the script.
    pub(super) prefix_chars: usize,
    /// The scripts of all migrations, for help that names another migration. Empty for seeds.
    pub(super) migrations: &'a [Script],
    /// Help for what only this kind of file can contain.
    pub(super) own_help: Option<String>,
}

impl RefusedStatement<'_> {
    /// The error, with the statement, the server's report and help.
    pub(super) fn report(self, error: sqlx::Error) -> Error {
        let Some(refused) = sql_error::refusal(&error) else {
            return sql_error::failed(&format!("{} ({})", self.step, self.script.name()), error);
        };
        let offset = self.offset(refused);
        let otherwise = if extension_help::unavailable_extension(refused).is_some() {
            ErrorKind::ExtensionUnavailable
        } else {
            self.kind
        };
        let kind = sql_error::kind_of(&error, otherwise);
        let place = self.script.place(offset);
        let report = Error::new(
            kind,
            format!("{} failed at {place}: {}", self.step, refused.message()),
        )
        .with_evidence("the statement", self.script.excerpt(offset))
        .with_evidence("server error", sql_error::server_report(refused));
        let invisible = self.invisible(refused, offset);
        let help = invisible.map(|found| {
            format!(
                "delete {}: PostgreSQL reads it as a part of a name",
                found.at_place(self.script)
            )
        });
        let own = self
            .own_help
            .or(help)
            .or_else(|| extension_help::for_refused(refused));
        let help = own.or_else(|| {
            statement_help::help_for(refused.code(), refused.message(), self.migrations)
        });
        let help = help
            .unwrap_or_else(|| format!("correct the file and run the tests again{NOTHING_KEPT}"));
        report.with_help(help).with_source(error)
    }

    /// A character in the refused statement that is not visible. It can be the cause of a syntax
    /// error and of an unknown name (class 42).
    fn invisible(&self, refused: &PgDatabaseError, offset: usize) -> Option<Invisible> {
        if !refused.code().starts_with("42") {
            return None;
        }
        let statements = self.script.statements();
        let statement = statements
            .iter()
            .rfind(|statement| statement.offset() <= offset)?;
        Invisible::in_sql(statement.text(), statement.offset())
    }

    /// The byte at the error's position, or at the start of the sent text if the error has no
    /// position.
    ///
    /// The server counts characters of the message. A position within the prefix has no place in
    /// the script.
    fn offset(&self, refused: &PgDatabaseError) -> usize {
        match refused.position() {
            Some(PgErrorPosition::Original(position)) if position > self.prefix_chars => self
                .script
                .byte_of_char(self.sent_offset, position - self.prefix_chars),
            _ => self.sent_offset,
        }
    }
}

/// The position of the server's error in the sent text: a character, counted from 1.
pub(super) fn position(error: &sqlx::Error) -> Option<usize> {
    match sql_error::refusal(error)?.position()? {
        PgErrorPosition::Original(position) => Some(position),
        PgErrorPosition::Internal { .. } => None,
    }
}
