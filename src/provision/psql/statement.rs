//! What a statement needs from the one who sends it: data, a transaction, or a check before.

use crate::lexer::{Token, Tokens};

/// Settings that `pg_dump` writes, and that some supported version of PostgreSQL does not know.
const DUMP_SETTINGS: [&str; 4] = [
    "default_table_access_method",
    "default_toast_compression",
    "idle_session_timeout",
    "transaction_timeout",
];

#[derive(Debug, PartialEq, Eq)]
pub(super) enum StatementKind {
    /// `COPY .. FROM STDIN`: data follow.
    CopyIn,
    /// `COPY .. TO STDOUT`: the server returns data.
    CopyOut,
    /// `LISTEN` or `UNLISTEN`. Notifications are only printed by psql.
    Listen,
    /// It begins or ends a transaction.
    TransactionControl,
    /// `SET` of a setting that `pg_dump` writes, which this server may not know.
    DumpSetting(String),
    /// It may change how the next statements are read.
    ChangesStrings,
    Other,
}

impl StatementKind {
    pub(super) fn of(text: &str) -> Self {
        let mut tokens = Tokens::new(text);
        let Some(Token::Word(first)) = tokens.next() else {
            return Self::Other;
        };
        let second = tokens.next();
        let is = |keyword: &str| second.as_ref().is_some_and(|token| token.is_word(keyword));
        match first.to_ascii_lowercase().as_str() {
            "copy" => copy_kind(text),
            "listen" | "unlisten" => Self::Listen,
            "begin" | "start" | "commit" | "end" | "abort" => Self::TransactionControl,
            "prepare" if is("transaction") => Self::TransactionControl,
            "rollback" if !is_savepoint_rollback(text) => Self::TransactionControl,
            "set" => match setting(text) {
                Some(name) if DUMP_SETTINGS.contains(&name.as_str()) => Self::DumpSetting(name),
                _ if mentions_strings(text) => Self::ChangesStrings,
                _ => Self::Other,
            },
            "reset" | "discard" => Self::ChangesStrings,
            "select" | "alter" | "do" | "call" if mentions_strings(text) => Self::ChangesStrings,
            _ => Self::Other,
        }
    }
}

/// Whether a text is a `COPY` whose data are in the same file.
pub(in crate::provision) fn is_copy_in(text: &str) -> bool {
    let mut tokens = Tokens::new(text);
    tokens.next().is_some_and(|first| first.is_word("copy"))
        && copy_kind(text) == StatementKind::CopyIn
}

fn copy_kind(text: &str) -> StatementKind {
    let mut depth = 0_usize;
    let mut previous = None;
    for token in Tokens::new(text) {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth = depth.saturating_sub(1),
            // The grammar accepts either word on either side.
            Token::Word(_) if depth == 0 && (token.is_word("stdin") || token.is_word("stdout")) => {
                match &previous {
                    Some(Token::Word(word)) if word.eq_ignore_ascii_case("from") => {
                        return StatementKind::CopyIn;
                    }
                    Some(Token::Word(word)) if word.eq_ignore_ascii_case("to") => {
                        return StatementKind::CopyOut;
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        previous = Some(token);
    }
    StatementKind::Other
}

/// `ROLLBACK TO`, also with `WORK` or `TRANSACTION`.
fn is_savepoint_rollback(text: &str) -> bool {
    Tokens::new(text).take(3).any(|token| token.is_word("to"))
}

/// The name in `SET name = ..`.
fn setting(text: &str) -> Option<String> {
    let mut tokens = Tokens::new(text).skip(1);
    let mut name = tokens.next()?;
    if name.is_word("session") {
        name = tokens.next()?;
    }
    match name {
        Token::Word(name) => Some(name.to_ascii_lowercase()),
        Token::Quoted(name) => Some(name),
        Token::Symbol(_) | Token::Literal(_) => None,
    }
}

fn mentions_strings(text: &str) -> bool {
    text.to_ascii_lowercase()
        .contains("standard_conforming_strings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_recognised_by_their_words() {
        use StatementKind::{
            ChangesStrings, CopyIn, CopyOut, DumpSetting, Listen, Other, TransactionControl,
        };
        for (text, kind) in [
            ("COPY public.t (a, \"from\") FROM stdin", CopyIn),
            (
                "copy /* c */ t from STDIN with (format csv, header)",
                CopyIn,
            ),
            ("copy t to stdout", CopyOut),
            ("copy (select 1 from stdin) to stdout", CopyOut),
            ("copy t from '/tmp/stdin'", Other),
            ("copy t from program 'stdin'", Other),
            ("copy \"from\" to '/tmp/x'", Other),
            ("listen x", Listen),
            ("BEGIN isolation level serializable", TransactionControl),
            ("start transaction", TransactionControl),
            ("END", TransactionControl),
            ("rollback and chain", TransactionControl),
            ("rollback prepared 'x'", TransactionControl),
            ("prepare transaction 'x'", TransactionControl),
            ("prepare p as select 1", Other),
            ("rollback work to savepoint a", Other),
            ("rollback to a", Other),
            ("savepoint a", Other),
            (
                "SET transaction_timeout = 0",
                DumpSetting("transaction_timeout".to_owned()),
            ),
            (
                "set session \"idle_session_timeout\" to 0",
                DumpSetting("idle_session_timeout".to_owned()),
            ),
            ("set statement_timeout = 0", Other),
            ("SET standard_conforming_strings = off", ChangesStrings),
            (
                "select set_config('standard_conforming_strings', 'off', false)",
                ChangesStrings,
            ),
            ("reset all", ChangesStrings),
            ("(select 1)", Other),
            ("", Other),
        ] {
            assert_eq!(StatementKind::of(text), kind, "{text}");
        }
    }
}
