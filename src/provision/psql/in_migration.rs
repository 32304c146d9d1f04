//! The error for a file of psql among the migrations of a tool. The tool sends a file as one
//! message, in which the server expects no data and no command of psql.

use super::statement::is_copy_in;
use crate::provision::sql_script::Script;
use crate::sql_error::{self, UnexpectedMessage};

const REMEDY: &str = "the file is one for psql, like the output of pg_dump: use the layout `sql` \
     for it, make it a seed, or make the dump with --inserts and remove the lines that begin with \
     a backslash";

/// Why the message with a migration got an answer that the tool does not expect, and the remedy.
pub(in crate::provision) fn unexpected(message: UnexpectedMessage) -> (&'static str, &'static str) {
    match message {
        UnexpectedMessage::CopyIn => ("COPY .. FROM STDIN has no data in a migration", REMEDY),
        UnexpectedMessage::CopyOut => (
            "COPY .. TO STDOUT has no reader in a migration",
            "remove the statement",
        ),
        UnexpectedMessage::Notification => (
            "the session has received a notification, because a migration executed LISTEN",
            "remove LISTEN: it has an effect on its session only",
        ),
    }
}

/// The remedy for a refused migration that is a file for psql.
pub(in crate::provision) fn help(error: &sqlx::Error, script: &Script) -> Option<String> {
    // syntax_error: a command of psql, or the data of a COPY.
    let is_syntax = sql_error::code(error)? == "42601";
    let is_for_psql = || {
        let has_command = script.text().lines().any(|line| line.starts_with('\\'));
        has_command || script.statements().iter().any(|it| is_copy_in(it.text()))
    };
    (is_syntax && is_for_psql()).then(|| REMEDY.to_owned())
}
