//! Reads the names of relations from the tokens of a statement.

use std::fmt;

use super::sql_script::Statement;
use crate::lexer::{Token, Tokens};

/// Bytes of an identifier that the server keeps: `NAMEDATALEN - 1`
/// (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>).
const MAX_IDENTIFIER_BYTES: usize = 63;

/// The kind of a created relation. Materialized views count as views.
pub(super) enum RelationKind {
    Table,
    View,
}

/// Reads a statement token by token, from the left.
pub(super) struct StatementReader<'a>(Tokens<'a>);

impl<'a> StatementReader<'a> {
    pub(super) fn of(statement: Statement<'a>) -> Self {
        Self(statement.tokens())
    }

    /// A reader of the statement that begins with the next of these tokens.
    pub(super) fn at(tokens: Tokens<'a>) -> Self {
        Self(tokens)
    }

    /// Steps over these keywords if all of them come next. Returns whether it did.
    pub(super) fn accept(&mut self, keywords: &[&str]) -> bool {
        self.step(|ahead| {
            keywords
                .iter()
                .all(|keyword| ahead.next().is_some_and(|token| token.is_word(keyword)))
        })
    }

    /// Steps over this symbol if it comes next. Returns whether it did.
    pub(super) fn symbol(&mut self, symbol: char) -> bool {
        self.step(|ahead| ahead.next() == Some(Token::Symbol(symbol)))
    }

    fn step(&mut self, accepts: impl FnOnce(&mut Tokens<'_>) -> bool) -> bool {
        let mut ahead = self.0.clone();
        let accepted = accepts(&mut ahead);
        if accepted {
            self.0 = ahead;
        }
        accepted
    }

    /// The relation that follows `CREATE`; none for a temporary relation or another object.
    pub(super) fn created_relation(&mut self) -> Option<(RelationKind, QualifiedName)> {
        self.accept(&["or", "replace"]);
        self.accept(&["unlogged"]);
        let relation = if self.accept(&["table"]) {
            RelationKind::Table
        } else if ["materialized", "recursive"]
            .iter()
            .any(|kind| self.accept(&[kind, "view"]))
            || self.accept(&["view"])
        {
            RelationKind::View
        } else {
            return None;
        };
        self.accept(&["if", "not", "exists"]);
        Some((relation, self.name()?))
    }

    /// The parents of a new table: of a partition, or of a table that inherits. The type of a typed
    /// table is one too: `DROP TYPE .. CASCADE` drops the table
    /// (<https://www.postgresql.org/docs/current/sql-createtable.html>).
    pub(super) fn parents(&mut self) -> Vec<QualifiedName> {
        if self.accept(&["partition", "of"]) || self.accept(&["of"]) {
            return self.name().into_iter().collect();
        }
        while let Some(token) = self.0.next() {
            if token.is_word("inherits") && self.symbol('(') {
                return self.names().unwrap_or_default();
            }
        }
        Vec::new()
    }

    /// The permanent table that the rest of a query creates by `SELECT .. INTO`.
    pub(super) fn select_into(&mut self) -> Option<QualifiedName> {
        let mut parentheses = 0_usize;
        while let Some(token) = self.0.next() {
            match token {
                Token::Symbol('(') => parentheses += 1,
                Token::Symbol(')') => parentheses = parentheses.saturating_sub(1),
                // `with t as (..) insert into` creates no table.
                Token::Word(word) if word.eq_ignore_ascii_case("insert") => return None,
                Token::Word(word) if parentheses == 0 && word.eq_ignore_ascii_case("into") => {
                    self.accept(&["unlogged"]);
                    self.accept(&["table"]);
                    let kept = !["temp", "temporary", "local", "global"]
                        .iter()
                        .any(|keyword| self.accept(&[keyword]));
                    return self.name().filter(|_| kept);
                }
                _ => {}
            }
        }
        None
    }

    /// A list of names, separated by commas; none if one of them cannot be read.
    pub(super) fn names(&mut self) -> Option<Vec<QualifiedName>> {
        let mut names = vec![self.name()?];
        while self.symbol(',') {
            names.push(self.name()?);
        }
        Some(names)
    }

    /// A name without its database. None if a part contains a quoted dot: the name is written
    /// without quotes later, and the dot would make it ambiguous.
    pub(super) fn name(&mut self) -> Option<QualifiedName> {
        let mut parts = vec![self.identifier()?];
        while self.symbol('.') {
            parts.push(self.identifier()?);
        }
        let table = parts.pop()?;
        let schema = parts.pop();
        let ambiguous =
            table.contains('.') || schema.as_ref().is_some_and(|schema| schema.contains('.'));
        (!ambiguous).then_some(QualifiedName { schema, table })
    }

    /// A string, or an identifier where a string is legal too, such as a version.
    pub(super) fn text(&mut self) -> Option<String> {
        let mut ahead = self.0.clone();
        let text = match ahead.next()? {
            Token::Literal(text) => {
                let text = text.strip_prefix('\'')?.strip_suffix('\'')?;
                text.replace("''", "'")
            }
            Token::Word(_) | Token::Quoted(_) | Token::Symbol(_) => return self.identifier(),
        };
        self.0 = ahead;
        Some(text)
    }

    /// An identifier as the server stores it: folded to lower case unless quoted, and truncated.
    pub(super) fn identifier(&mut self) -> Option<String> {
        let mut identifier = match self.0.next()? {
            Token::Word(word) => word.to_ascii_lowercase(),
            Token::Quoted(name) => name,
            Token::Symbol(_) | Token::Literal(_) => return None,
        };
        identifier.truncate(identifier.floor_char_boundary(MAX_IDENTIFIER_BYTES));
        Some(identifier)
    }
}

/// The name of the function or procedure that a statement defines, without its schema and in lower
/// case.
pub(super) fn routine_name(statement: Statement<'_>) -> Option<String> {
    let mut reader = StatementReader::of(statement);
    if !reader.accept(&["create"]) {
        return None;
    }
    reader.accept(&["or", "replace"]);
    let is_routine = reader.accept(&["function"]) || reader.accept(&["procedure"]);
    let name = is_routine.then(|| reader.name()).flatten()?;
    Some(name.table.to_lowercase())
}

/// The name of a relation, with its schema if the statement states one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QualifiedName {
    pub(super) schema: Option<String>,
    pub(super) table: String,
}

impl QualifiedName {
    /// Whether both names can mean the same table. The schema of an unqualified name depends on the
    /// session's search path, so such a name can mean a table of any schema.
    pub(super) fn may_equal(&self, other: &Self) -> bool {
        self.table == other.table
            && (self.schema.is_none() || other.schema.is_none() || self.schema == other.schema)
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => f.write_str(&self.table),
        }
    }
}
