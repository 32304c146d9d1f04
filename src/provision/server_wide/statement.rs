//! What the tokens of one statement show: whether it affects the whole server, or executes strings.

use super::shared_names::SHARED_CATALOGS;
use crate::lexer::Token;

/// A token and the byte at which it starts.
pub(super) type Spanned<'a> = (Token<'a>, usize);

/// Whether the token at this index is one of these words.
pub(super) fn is_word_at(statement: &[Spanned<'_>], at: usize, keywords: &[&str]) -> bool {
    statement
        .get(at)
        .is_some_and(|(token, _)| keywords.iter().any(|keyword| token.is_word(keyword)))
}

/// Whether the statement at these tokens affects the whole server. The tokens may end before the
/// statement does: a program may append further strings to it.
pub(super) fn is_server_wide(statement: &[Spanned<'_>]) -> bool {
    let word = |at: usize, keywords: &[&str]| is_word_at(statement, at, keywords);
    let is_ddl = word(0, &["create", "alter", "drop"]);
    if is_ddl && (word(1, &["role", "group"]) || word(1, &["user"]) && !word(2, &["mapping"])) {
        // ALTER ROLE .. IN DATABASE changes settings of that database only.
        let in_database =
            (2..statement.len()).find(|at| word(*at, &["in"]) && word(at + 1, &["database"]));
        return !word(0, &["alter"])
            || in_database.is_none_or(|at| is_literal_name(statement, at + 2));
    }
    if is_ddl && word(1, &["database"]) {
        return !word(0, &["alter"]) || is_literal_name(statement, 2);
    }
    if word(0, &["grant", "revoke"]) {
        return grants_server_wide(statement);
    }
    if word(0, &["comment"]) && word(1, &["on"]) {
        return is_shared_object(statement, 2);
    }
    if word(0, &["security"]) && word(1, &["label"]) {
        return is_shared_object(statement, if word(2, &["for"]) { 5 } else { 3 });
    }
    if word(0, &["insert", "update", "delete", "merge"]) {
        return (1..statement.len()).any(|at| word(at, &SHARED_CATALOGS));
    }
    is_ddl && word(1, &["tablespace"])
        || word(0, &["create"]) && word(1, &["subscription"]) && !is_unconnected(statement)
        || word(0, &["alter"]) && word(1, &["system"])
        || word(0, &["reassign", "drop"]) && word(1, &["owned"])
}

/// Whether a GRANT or REVOKE is about the membership of a role, or about an object of the whole
/// server.
fn grants_server_wide(statement: &[Spanned<'_>]) -> bool {
    let Some(on) = (1..statement.len()).find(|at| is_word_at(statement, *at, &["on"])) else {
        return (1..statement.len()).any(|at| is_word_at(statement, at, &["to", "from"]));
    };
    is_word_at(statement, on + 1, &["parameter", "tablespace"])
        || is_word_at(statement, on + 1, &["database"]) && is_literal_name(statement, on + 2)
}

/// Whether the words at this index name a role, a tablespace or another database.
fn is_shared_object(statement: &[Spanned<'_>], at: usize) -> bool {
    is_word_at(statement, at, &["role", "tablespace"])
        || is_word_at(statement, at, &["database"]) && is_literal_name(statement, at + 1)
}

/// Whether a subscription has `connect = false`. Such a subscription affects its database only. Any
/// other creates a replication slot on another server, and occupies workers of this one
/// (<https://www.postgresql.org/docs/current/sql-createsubscription.html>).
fn is_unconnected(statement: &[Spanned<'_>]) -> bool {
    (2..statement.len()).any(|at| {
        is_word_at(statement, at, &["connect"])
            && statement
                .get(at + 1)
                .is_some_and(|(token, _)| *token == Token::Symbol('='))
            && is_word_at(statement, at + 2, &["false", "off"])
    })
}

/// Whether a database is named literally. The database that is being built has a different name
/// each time, so a literal name means another database. A placeholder means the database that is
/// being built, as in `format('alter database %I', current_database())`.
fn is_literal_name(statement: &[Spanned<'_>], at: usize) -> bool {
    matches!(
        statement.get(at),
        Some((Token::Word(_) | Token::Quoted(_), _))
    )
}

/// Whether the statement may execute the content of its strings.
pub(super) fn may_run_strings(statement: &[Spanned<'_>]) -> bool {
    let kind = if is_word_at(statement, 1, &["or"]) {
        3
    } else {
        1
    };
    is_word_at(
        statement,
        0,
        &["do", "select", "with", "call", "execute", "prepare"],
    ) || is_word_at(statement, 0, &["create"])
        && is_word_at(statement, kind, &["function", "procedure"])
}
