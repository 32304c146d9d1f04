//! Reads the names of relations out of a statement.

use std::fmt;

use super::script::Statement;
use crate::lexer::{Token, Tokens};

/// Bytes of an identifier that the server keeps: `NAMEDATALEN - 1`
/// (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>).
const NAME_BYTES: usize = 63;

pub(super) enum Relation {
    Table,
    View,
}

/// Reads a statement from the left.
pub(super) struct Words<'a>(Tokens<'a>);

impl<'a> Words<'a> {
    pub(super) fn of(statement: Statement<'a>) -> Self {
        Self(statement.tokens())
    }

    /// Steps over these keywords if they come next, all of them.
    pub(super) fn accept(&mut self, keywords: &[&str]) -> bool {
        self.step(|ahead| {
            keywords
                .iter()
                .all(|keyword| ahead.next().is_some_and(|token| token.is_word(keyword)))
        })
    }

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

    /// The lasting relation that follows `CREATE`; a temporary one is none.
    pub(super) fn created(&mut self) -> Option<(Relation, Name)> {
        self.accept(&["or", "replace"]);
        self.accept(&["unlogged"]);
        let relation = if self.accept(&["table"]) {
            Relation::Table
        } else if ["materialized", "recursive"]
            .iter()
            .any(|kind| self.accept(&[kind, "view"]))
            || self.accept(&["view"])
        {
            Relation::View
        } else {
            return None;
        };
        self.accept(&["if", "not", "exists"]);
        Some((relation, self.name()?))
    }

    /// The tables that a new table is a partition or an heir of.
    pub(super) fn parents(&mut self) -> Vec<Name> {
        if self.accept(&["partition", "of"]) {
            return self.name().into_iter().collect();
        }
        while let Some(token) = self.0.next() {
            if token.is_word("inherits") && self.symbol('(') {
                return self.names().unwrap_or_default();
            }
        }
        Vec::new()
    }

    pub(super) fn names(&mut self) -> Option<Vec<Name>> {
        let mut names = vec![self.name()?];
        while self.symbol(',') {
            names.push(self.name()?);
        }
        Some(names)
    }

    /// A name without its database; none if a dot inside of quotes would make it ambiguous.
    pub(super) fn name(&mut self) -> Option<Name> {
        let mut parts = vec![self.identifier()?];
        while self.symbol('.') {
            parts.push(self.identifier()?);
        }
        let table = parts.pop()?;
        let schema = parts.pop();
        let ambiguous =
            table.contains('.') || schema.as_ref().is_some_and(|schema| schema.contains('.'));
        (!ambiguous).then_some(Name { schema, table })
    }

    pub(super) fn identifier(&mut self) -> Option<String> {
        let mut identifier = match self.0.next()? {
            Token::Word(word) => word.to_ascii_lowercase(),
            Token::Quoted(name) => name,
            Token::Symbol(_) | Token::Literal(_) => return None,
        };
        identifier.truncate(identifier.floor_char_boundary(NAME_BYTES));
        Some(identifier)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) schema: Option<String>,
    pub(super) table: String,
}

impl Name {
    /// Whether both could mean one table; which schema an unqualified name finds depends on the session.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        self.table == other.table
            && (self.schema.is_none() || other.schema.is_none() || self.schema == other.schema)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => f.write_str(&self.table),
        }
    }
}
