//! What an SQL text of the client does to the transaction in which it runs.

use crate::guard_names::{CHECKPOINT_PREFIX, SCHEMA};
use crate::lexer::{Nesting, Token, Tokens};

/// The number of tokens of the longest transaction command:
/// `ROLLBACK TRANSACTION TO SAVEPOINT name`.
const MAX_COMMAND_TOKENS: usize = 5;

/// The statements of an SQL text, classified by what they do to the transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ClientSql {
    pub(super) statements: Vec<StatementKind>,
    /// Whether the server may request data from the client while it executes the text.
    pub(super) may_copy: bool,
}

/// What one statement does to the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StatementKind {
    Savepoint(String),
    Release(String),
    RollBackTo(String),
    /// It ends the transaction, unless the server rejects it.
    EndTransaction,
    Other,
}

impl ClientSql {
    pub(super) fn parse(text: &str) -> Self {
        let mut sql = Self::default();
        let mut nesting = Nesting::default();
        let mut head = Vec::new();
        for token in Tokens::new(text) {
            // The body of a function (`BEGIN ATOMIC`) and the actions of a rule contain semicolons
            // that do not end the statement.
            if token == Token::Symbol(';') && nesting.is_top_level() {
                sql.end_statement(&mut head);
                nesting = Nesting::default();
                continue;
            }
            nesting.follow(&token);
            // Anywhere in the text, so also for a column of that name. That only costs a round
            // trip.
            sql.may_copy |= token.is_word("copy");
            if head.len() <= MAX_COMMAND_TOKENS {
                head.push(token);
            }
        }
        sql.end_statement(&mut head);
        sql
    }

    fn end_statement(&mut self, head: &mut Vec<Token<'_>>) {
        // The server sends no reply to an empty statement.
        if !head.is_empty() {
            self.statements.push(StatementKind::of(head));
            head.clear();
        }
    }

    /// Whether no statement is a transaction command, and the server requests no data.
    pub(super) fn is_plain(&self) -> bool {
        !self.may_copy
            && self
                .statements
                .iter()
                .all(|kind| *kind == StatementKind::Other)
    }
}

impl StatementKind {
    /// Whether the statement sets a checkpoint, returns to it or removes it.
    pub(super) fn is_about_checkpoint(&self) -> bool {
        match self {
            Self::Savepoint(name) | Self::Release(name) | Self::RollBackTo(name) => {
                is_checkpoint(name)
            }
            Self::EndTransaction | Self::Other => false,
        }
    }

    /// See <https://www.postgresql.org/docs/current/sql-savepoint.html> and the pages of the other
    /// commands.
    fn of(statement: &[Token<'_>]) -> Self {
        let skip = |at: usize, words: &[&str]| {
            let is_there = statement
                .get(at)
                .is_some_and(|token| words.iter().any(|word| token.is_word(word)));
            at + usize::from(is_there)
        };
        // `RELEASE savepoint` releases the savepoint named "savepoint".
        let savepoint_at = |at: usize| {
            let last = statement.len().saturating_sub(1);
            name(statement.get(skip(at, &["savepoint"]).min(last)))
        };
        let Some(Token::Word(first)) = statement.first() else {
            return Self::Other;
        };
        let kind = match first.to_ascii_lowercase().as_str() {
            "savepoint" => name(statement.get(1)).map(Self::Savepoint),
            "release" => savepoint_at(1).map(Self::Release),
            "rollback" => {
                let to = skip(1, &["work", "transaction"]);
                if skip(to, &["to"]) == to {
                    Some(Self::EndTransaction)
                } else {
                    savepoint_at(to + 1).map(Self::RollBackTo)
                }
            }
            // PREPARE TRANSACTION ends the transaction, too. Without the second word, the command
            // prepares a statement.
            "commit" | "end" | "abort" => Some(Self::EndTransaction),
            "prepare" if skip(1, &["transaction"]) == 2 => Some(Self::EndTransaction),
            _ => None,
        };
        kind.unwrap_or(Self::Other)
    }
}

/// The name of a savepoint, unless it is one of ebbtide's that is no checkpoint.
fn name(token: Option<&Token<'_>>) -> Option<String> {
    let name = match token? {
        // The server folds a name without quotes to lower case.
        // https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
        Token::Word(word) => word.to_ascii_lowercase(),
        Token::Quoted(name) => name.clone(),
        Token::Symbol(_) | Token::Literal(_) => return None,
    };
    // Ebbtide's other savepoints enclose the whole test or one statement.
    (!name.starts_with(SCHEMA) || is_checkpoint(&name)).then_some(name)
}

/// Whether a savepoint is that of a checkpoint.
pub(super) fn is_checkpoint(name: &str) -> bool {
    name.starts_with(CHECKPOINT_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(text: &str) -> Vec<StatementKind> {
        ClientSql::parse(text).statements
    }

    #[test]
    fn commands_about_savepoints_are_recognised_in_all_their_forms() {
        let name = |text: &str| text.to_owned();
        assert_eq!(
            statements("SAVEPOINT _sqlx_savepoint_1"),
            [StatementKind::Savepoint(name("_sqlx_savepoint_1"))]
        );
        assert_eq!(
            statements("-- why\n/* a; */ savepoint \"A b\";"),
            [StatementKind::Savepoint(name("A b"))]
        );
        assert_eq!(
            statements("release a; release savepoint B; release savepoint"),
            [
                StatementKind::Release(name("a")),
                StatementKind::Release(name("b")),
                StatementKind::Release(name("savepoint"))
            ]
        );
        for text in [
            "rollback to a",
            "Rollback Work To a",
            "rollback transaction to savepoint a",
        ] {
            assert_eq!(
                statements(text),
                [StatementKind::RollBackTo(name("a"))],
                "{text}"
            );
        }
    }

    #[test]
    fn commands_that_end_the_transaction_are_recognised() {
        for text in [
            "commit",
            "END",
            "abort work",
            "rollback",
            "rollback and chain",
            "prepare transaction 'a'",
        ] {
            assert_eq!(statements(text), [StatementKind::EndTransaction], "{text}");
        }
        let closing = "set constraints all immediate; rollback; begin read write";
        assert_eq!(
            statements(closing),
            [
                StatementKind::Other,
                StatementKind::EndTransaction,
                StatementKind::Other
            ]
        );
    }

    #[test]
    fn everything_else_is_other() {
        let texts = [
            "select 'commit'",
            "prepare a as select 1",
            "begin read write",
            "savepoint _ebbtide",
            "rollback to savepoint _ebbtide",
            "create function f() returns int language sql begin atomic select 1; end",
            "create rule r as on insert to t do (select 1; select 2)",
            "do $$ begin commit; end $$",
            "with x as (select 1) select * from x",
        ];
        for text in texts {
            assert_eq!(statements(text), [StatementKind::Other], "{text}");
        }
        assert_eq!(statements(" ; -- nothing\n;"), []);
    }

    #[test]
    fn sql_is_plain_without_copy_and_transaction_commands() {
        assert!(ClientSql::parse("insert into t values ('copy'); select 1").is_plain());
        assert!(!ClientSql::parse("select 1; copy t from stdin").is_plain());
        assert!(!ClientSql::parse("select 1; savepoint a").is_plain());
    }
}
