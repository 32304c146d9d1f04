//! The remedy for statements that only files for psql contain.

use sqlx::postgres::PgErrorPosition;

use crate::lexer::Tokens;
use crate::provision::invisible::is_invisible;
use crate::sql_error::{self, UnexpectedMessage};

/// Why a statement got an answer that the driver does not expect, and the remedy.
pub(super) fn for_unexpected(message: UnexpectedMessage) -> (&'static str, &'static str) {
    match message {
        UnexpectedMessage::CopyIn | UnexpectedMessage::CopyOut => (
            "it sends or receives data, and is not a statement COPY of its own",
            "write COPY as a statement of its own",
        ),
        UnexpectedMessage::Notification => (
            "the session has received a notification",
            "remove LISTEN from the function or DO block that executes it",
        ),
    }
}

/// The remedy for a refused statement, by its SQLSTATE. `prefix_chars` were sent before its text.
/// The codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub(super) fn for_statement(
    error: &sqlx::Error,
    text: &str,
    prefix_chars: usize,
) -> Option<String> {
    let refused = sql_error::refusal(error)?;
    let message = refused.message();
    match refused.code() {
        // active_sql_transaction
        "25001" if creates_database(text) => Some(
            "make the dump without --create: ebbtide creates the database that the file fills"
                .to_owned(),
        ),
        // active_sql_transaction; unsafe_new_enum_value_usage
        "25001" | "55P04" => Some(
            "write `-- no-transaction` as the first line of the file: each statement is then a \
             transaction, as under psql"
                .to_owned(),
        ),
        // undefined_object
        "42704" if message.starts_with("role ") => Some(
            "make the dump with pg_dump --no-owner --no-privileges, or create the role in a file \
             that runs before"
                .to_owned(),
        ),
        "42704" if message.starts_with("unrecognized configuration parameter ") => {
            Some("remove the line, or use a server of the version that has the setting".to_owned())
        }
        // syntax_error
        "42601" => {
            let Some(PgErrorPosition::Original(position)) = refused.position() else {
                return None;
            };
            help_for_character(text, position.checked_sub(prefix_chars + 1)?)
        }
        _ => None,
    }
}

/// The remedy for refused data.
pub(super) fn for_data(error: &sqlx::Error) -> Option<String> {
    match sql_error::code(error)? {
        // character_not_in_repertoire: a NUL, or text in another encoding.
        "22021" => Some(
            "save the file with UTF-8 encoding, or write SET client_encoding before the data"
                .to_owned(),
        ),
        _ => None,
    }
}

/// The number in `COPY users, line 3, column id: "x"`.
pub(super) fn line_of_data(context: &str) -> Option<usize> {
    let (_, rest) = context
        .lines()
        .find(|line| line.starts_with("COPY "))?
        .split_once(", line ")?;
    let end = rest.find(|c: char| !c.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

fn creates_database(text: &str) -> bool {
    let mut tokens = Tokens::new(text);
    tokens
        .next()
        .is_some_and(|word| word.is_word("create") || word.is_word("drop"))
        && tokens.next().is_some_and(|word| word.is_word("database"))
}

/// The remedy for a syntax error at a character that cannot be seen, or that begins a variable.
fn help_for_character(text: &str, at: usize) -> Option<String> {
    let rest = &text[text.char_indices().nth(at)?.0..];
    if let Some(name) = rest.strip_prefix(':') {
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
        let name = &name[..end.unwrap_or(name.len())];
        return (!name.is_empty()).then(|| {
            format!("the variable {name} of psql has no value: write the value instead of :{name}")
        });
    }
    // The server takes a character outside of ASCII for a letter, so the token may begin before it.
    let token = rest.split(|c: char| c.is_ascii_whitespace()).next()?;
    let hidden = token.chars().find(|c| !c.is_ascii() && is_invisible(*c))?;
    Some(format!(
        "the statement contains the invisible character U+{:04X}: replace it by a space, or remove \
         it",
        u32::from(hidden)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_refused_data_is_read_from_the_context() {
        assert_eq!(
            line_of_data("COPY users, line 3, column id: \"x\""),
            Some(3)
        );
        assert_eq!(line_of_data("SQL function\nCOPY a, line 12"), Some(12));
        assert_eq!(line_of_data("COPY a, row 1"), None);
    }

    #[test]
    fn a_character_that_cannot_be_seen_is_named() {
        let help = help_for_character("select\u{a0}1", 0).expect("there is help");
        assert!(help.contains("U+00A0"), "{help}");
        let help = help_for_character("select :name, 1", 7).expect("there is help");
        assert!(help.contains("variable name of psql"), "{help}");
        assert_eq!(help_for_character("selct é", 0), None);
    }
}
