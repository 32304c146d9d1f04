//! Whether SQL that a statement builds at run time may remove a table whose name the text does not
//! contain, as in `execute format('drop table %I', name)`.
//!
//! Only strings are examined. A string is a start of SQL, and its rest comes from a parameter, a
//! loop, or `||`. Columns, constraints and other parts of a table can be dropped this way too:
//! that removes no table.

use crate::lexer::{Token, Tokens, string_content};

/// Whether a string in `text` may become a statement that drops, renames or moves a table which the
/// string does not name. Strings inside of strings count too.
pub(super) fn removes_unnamed_table(text: &str) -> bool {
    let mut tokens = Tokens::new(text);
    while let Some(token) = tokens.next() {
        let Some(inner) = inner(&token) else {
            continue;
        };
        let is_continued = matches!(
            tokens.clone().next(),
            Some(Token::Symbol('|' | ',' | '+' | '%' | '.'))
        );
        if removes_unnamed(&inner, is_continued) || removes_unnamed_table(&inner) {
            return true;
        }
    }
    false
}

/// The content of a string. A name in double quotes counts if it has blanks: in the body of a
/// function in Python or Perl it is a string.
fn inner(token: &Token<'_>) -> Option<String> {
    match token {
        Token::Literal(text) => {
            let (_, body) = string_content(text)?;
            Some(if text.starts_with('$') {
                body.to_owned()
            } else {
                body.replace("''", "'")
            })
        }
        Token::Quoted(text) if text.contains(' ') => Some(text.clone()),
        Token::Quoted(_) | Token::Word(_) | Token::Symbol(_) => None,
    }
}

/// Whether SQL that starts with this string may remove a table without a name in the string. With
/// `is_continued`, a name at the end of the string may be the start of a longer one.
fn removes_unnamed(sql: &str, is_continued: bool) -> bool {
    let tokens: Vec<Token<'_>> = Tokens::new(sql).collect();
    (0..tokens.len()).any(|at| {
        let rest = &tokens[at + 1..];
        if tokens[at].is_word("drop") {
            drops_unnamed(rest, is_continued)
        } else if is_rename(&tokens[at], rest) || is_move(&tokens[at], rest) {
            !has_other_subject(&tokens[..at])
        } else {
            false
        }
    })
}

/// Whether the tokens after `DROP` may drop a table without its name.
fn drops_unnamed(after_drop: &[Token<'_>], is_continued: bool) -> bool {
    let Some((kind, rest)) = after_drop.split_first() else {
        return true;
    };
    if kind.is_word("owned") || *kind == Token::Symbol('%') {
        return true;
    }
    // A dropped type or extension drops tables too, see `effect`.
    let drops_tables = ["table", "schema", "type", "domain", "extension"];
    drops_tables.iter().any(|word| kind.is_word(word)) && !starts_with_names(rest, is_continued)
}

/// Whether `rename` renames a table: `RENAME COLUMN` and `RENAME CONSTRAINT` do not.
fn is_rename(token: &Token<'_>, rest: &[Token<'_>]) -> bool {
    token.is_word("rename")
        && rest
            .first()
            .is_none_or(|next| next.is_word("to") || *next == Token::Symbol('%'))
}

fn is_move(token: &Token<'_>, rest: &[Token<'_>]) -> bool {
    token.is_word("set") && rest.first().is_some_and(|next| next.is_word("schema"))
}

/// Whether the tokens before `RENAME` or `SET SCHEMA` name a table, or alter another kind of
/// object. A named table is found by its name.
fn has_other_subject(before: &[Token<'_>]) -> bool {
    let Some(at) = before.iter().rposition(|token| token.is_word("alter")) else {
        return false;
    };
    match &before[at + 1..] {
        [kind, rest @ ..] if kind.is_word("table") => starts_with_names(rest, false),
        [Token::Word(_), ..] => true,
        _ => false,
    }
}

/// Whether the tokens start with a list of complete names.
fn starts_with_names(tokens: &[Token<'_>], is_continued: bool) -> bool {
    let is_option = |token: &&Token<'_>| {
        ["if", "exists", "only"]
            .iter()
            .any(|word| token.is_word(word))
    };
    let options = tokens.iter().take_while(is_option).count();
    let mut rest = &tokens[options..];
    loop {
        match rest {
            [
                Token::Word(_) | Token::Quoted(_),
                Token::Symbol(',' | '.'),
                after @ ..,
            ] => {
                rest = after;
            }
            [Token::Word(_) | Token::Quoted(_)] => return !is_continued,
            [Token::Word(_) | Token::Quoted(_), next, ..] => {
                return matches!(next, Token::Word(_) | Token::Symbol(';'));
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_that_lacks_the_name_of_the_table_may_remove_any_table() {
        for text in [
            "execute format('drop table %I', name)",
            "execute 'DROP TABLE IF EXISTS ' || quote_ident(name) || ' cascade'",
            "execute 'drop table a, ' || name",
            "execute 'drop table part_' || suffix",
            "execute concat('drop table part_', suffix)",
            "execute format('drop table app.%I', name)",
            "execute format('drop %s %I', kind, name)",
            "execute 'drop ' || kind || name",
            "execute format('drop schema %I cascade', name)",
            "execute 'drop owned by ' || role",
            "execute format('alter table %I rename to %I', a, b)",
            "execute 'alter table ' || a || ' rename to ' || b",
            "execute format('alter table %I set schema app', a)",
            "do $$ begin execute $q$drop table $q$ || name; end $$",
            "select dblink_exec('c', 'drop table ' || name)",
            "do $$ plpy.execute(\"drop table %s\" % name) $$ language plpython3u",
        ] {
            assert!(removes_unnamed_table(text), "{text}");
        }
    }

    #[test]
    fn a_string_with_the_name_or_about_another_object_removes_no_other_table() {
        for text in [
            "execute 'drop table a'",
            "execute 'drop table if exists app.\"A\", b cascade'",
            "execute 'drop table a; select ' || x",
            "execute format('alter table %I drop column %I', a, b)",
            "execute format('alter table %I drop constraint if exists %I', a, b)",
            "execute format('drop policy if exists %I on %I', a, b)",
            "execute format('drop index %I', a)",
            "execute format('alter index %I rename to %I', a, b)",
            "execute format('alter table %I rename column a to b', a)",
            "execute format('alter function %I set schema app', a)",
            "execute 'alter table a rename to ' || b",
            "do $$ begin drop table a; drop table if exists b; end $$",
            "execute format('create table %I (id int)', a)",
        ] {
            assert!(!removes_unnamed_table(text), "{text}");
        }
    }
}
