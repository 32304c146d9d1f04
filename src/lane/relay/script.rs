//! What a text of SQL does to the transaction that it runs in.

use crate::lexer::{Nesting, Token, Tokens};

/// The longest of the commands about transactions: `ROLLBACK TRANSACTION TO SAVEPOINT name`.
const LONGEST: usize = 5;

/// The statements of a text, as far as they are about transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) steps: Vec<Step>,
    /// Whether the client may be asked for data in the midst of it.
    pub(super) may_copy: bool,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Savepoint(String),
    Release(String),
    RollBackTo(String),
    /// Ends the transaction, if it is not refused.
    End,
    Other,
}

impl Script {
    pub(super) fn of(text: &str) -> Self {
        let mut script = Self::default();
        let mut nesting = Nesting::default();
        let mut head = Vec::new();
        for token in Tokens::new(text) {
            if token == Token::Symbol(';') && nesting.is_top_level() {
                script.end_statement(&mut head);
                nesting = Nesting::default();
                continue;
            }
            nesting.follow(&token);
            script.may_copy |= token.is_word("copy");
            if head.len() <= LONGEST {
                head.push(token);
            }
        }
        script.end_statement(&mut head);
        script
    }

    fn end_statement(&mut self, head: &mut Vec<Token<'_>>) {
        // The server answers nothing to what is empty.
        if !head.is_empty() {
            self.steps.push(Step::of(head));
            head.clear();
        }
    }

    /// Whether it does nothing to the transaction, and asks for nothing.
    pub(super) fn is_plain(&self) -> bool {
        !self.may_copy && self.steps.iter().all(|step| *step == Step::Other)
    }
}

impl Step {
    /// <https://www.postgresql.org/docs/current/sql-savepoint.html> and its neighbours.
    fn of(statement: &[Token<'_>]) -> Self {
        let after = |at: usize, words: &[&str]| {
            let is_there = statement
                .get(at)
                .is_some_and(|token| words.iter().any(|word| token.is_word(word)));
            at + usize::from(is_there)
        };
        // `RELEASE savepoint` releases the one of that name.
        let named = |at: usize| {
            let last = statement.len().saturating_sub(1);
            name(statement.get(after(at, &["savepoint"]).min(last)))
        };
        let Some(Token::Word(first)) = statement.first() else {
            return Self::Other;
        };
        let step = match first.to_ascii_lowercase().as_str() {
            "savepoint" => name(statement.get(1)).map(Self::Savepoint),
            "release" => named(1).map(Self::Release),
            "rollback" => {
                let to = after(1, &["work", "transaction"]);
                if after(to, &["to"]) == to {
                    Some(Self::End)
                } else {
                    named(to + 1).map(Self::RollBackTo)
                }
            }
            "commit" | "end" | "abort" => Some(Self::End),
            "prepare" if after(1, &["transaction"]) == 2 => Some(Self::End),
            _ => None,
        };
        step.unwrap_or(Self::Other)
    }
}

/// The name of a savepoint of the application's.
fn name(token: Option<&Token<'_>>) -> Option<String> {
    let name = match token? {
        Token::Word(word) => word.to_ascii_lowercase(),
        Token::Quoted(name) => name.clone(),
        Token::Symbol(_) | Token::Literal(_) => return None,
    };
    // Ours frame the whole test, or one statement.
    (!name.starts_with("_ebbtide")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<Step> {
        Script::of(text).steps
    }

    #[test]
    fn commands_about_savepoints_are_read_in_all_their_forms() {
        let name = |text: &str| text.to_owned();
        assert_eq!(
            steps("SAVEPOINT _sqlx_savepoint_1"),
            [Step::Savepoint(name("_sqlx_savepoint_1"))]
        );
        assert_eq!(
            steps("-- why\n/* a; */ savepoint \"A b\";"),
            [Step::Savepoint(name("A b"))]
        );
        assert_eq!(
            steps("release a; release savepoint B; release savepoint"),
            [
                Step::Release(name("a")),
                Step::Release(name("b")),
                Step::Release(name("savepoint"))
            ]
        );
        for text in [
            "rollback to a",
            "Rollback Work To a",
            "rollback transaction to savepoint a",
        ] {
            assert_eq!(steps(text), [Step::RollBackTo(name("a"))], "{text}");
        }
    }

    #[test]
    fn what_ends_the_transaction_is_known() {
        for text in [
            "commit",
            "END",
            "abort work",
            "rollback",
            "rollback and chain",
            "prepare transaction 'a'",
        ] {
            assert_eq!(steps(text), [Step::End], "{text}");
        }
        let closing = "set constraints all immediate; rollback; begin read write";
        assert_eq!(steps(closing), [Step::Other, Step::End, Step::Other]);
    }

    #[test]
    fn everything_else_is_neither() {
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
            assert_eq!(steps(text), [Step::Other], "{text}");
        }
        assert_eq!(steps(" ; -- nothing\n;"), []);
    }

    #[test]
    fn a_text_is_plain_if_nobody_has_to_watch_it() {
        assert!(Script::of("insert into t values ('copy'); select 1").is_plain());
        assert!(!Script::of("select 1; copy t from stdin").is_plain());
        assert!(!Script::of("select 1; savepoint a").is_plain());
    }
}
