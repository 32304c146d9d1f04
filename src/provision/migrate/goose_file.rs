//! Reads the way up of a goose file, statement by statement.
//!
//! ```text
//! before --Up--> up --StatementBegin--> block --StatementEnd--> up --Down--> down
//! ```
//! <https://pressly.github.io/goose/documentation/annotations/>

use super::marked::{BrokenRule, WayUp, ends_statement, go_lines};
use super::message::Message;
use super::step::Transaction;

const PREFIX: &str = "+goose";

/// The part of the file that a line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Before,
    Up,
    Block,
    Down,
}

/// What was read so far.
struct Reader {
    part: Part,
    statement: Message<'static>,
    /// The byte at which the statement starts.
    start: usize,
    messages: Vec<Message<'static>>,
    transaction: Transaction,
    substitutes: bool,
    /// The byte at which the way up starts and ends.
    up: Option<usize>,
    end: usize,
}

/// The way up of a file. Each statement is a message of its own.
pub(super) fn parse(text: &str) -> Result<WayUp, BrokenRule> {
    let mut reader = Reader {
        part: Part::Before,
        statement: Message::empty(),
        start: 0,
        messages: Vec::new(),
        transaction: Transaction::Own,
        substitutes: false,
        up: None,
        end: text.len(),
    };
    for (at, line, _) in go_lines(text) {
        match annotation(line) {
            Some(word) => reader.annotation(&word, at, line)?,
            None => reader.line(line, at)?,
        }
    }
    reader.finish()
}

impl Reader {
    fn annotation(&mut self, word: &str, at: usize, line: &str) -> Result<(), BrokenRule> {
        if line.starts_with([' ', '\t']) {
            return Err(BrokenRule::new(
                at,
                "an annotation must be at the start of its line",
                "remove the white space before it",
            ));
        }
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        if is("NO TRANSACTION") {
            self.transaction = Transaction::None;
        } else if is("ENVSUB ON") || is("ENVSUB OFF") {
            self.substitutes = is("ENVSUB ON");
        } else if is("Up") && self.part == Part::Before {
            self.part = Part::Up;
            self.up = Some(at);
        } else if is("Down") && self.part == Part::Up {
            self.require_end()?;
            self.part = Part::Down;
            self.end = at;
        } else if is("StatementBegin") && self.part == Part::Up {
            self.part = Part::Block;
        } else if is("StatementEnd") && self.part == Part::Block {
            self.end_statement();
            self.part = Part::Up;
        } else if self.part != Part::Down || is("Up") || is("Down") {
            return Err(BrokenRule::new(
                at,
                format!("`{}` must not stand here", line.trim()),
                "the order is Up, then any number of StatementBegin and StatementEnd in pairs, \
                 then Down",
            ));
        }
        Ok(())
    }

    fn line(&mut self, line: &str, at: usize) -> Result<(), BrokenRule> {
        let is_between = self.statement.text().is_empty();
        if is_between && (line.is_empty() || line.trim().starts_with("--")) {
            return Ok(());
        }
        match self.part {
            Part::Before if line.trim().is_empty() => return Ok(()),
            Part::Before => {
                return Err(BrokenRule::new(
                    at,
                    "only comments may precede the line `-- +goose Up`",
                    "begin the file with that line",
                ));
            }
            Part::Down => return Ok(()),
            Part::Up | Part::Block => {}
        }
        if self.substitutes && line.contains('$') {
            return Err(BrokenRule::new(
                at,
                "a variable of the environment must not decide what the migration does, but \
                 ENVSUB is on",
                "write the value, or let goose apply the files: migrations = { command = [\"goose\", \
                 \"up\"], inputs = [\"migrations\"] }, or a `MigrationCommand`",
            ));
        }
        if self.statement.is_blank() {
            self.start = at;
        }
        self.statement.push(line, at);
        if self.part == Part::Up && ends_statement(line) {
            self.end_statement();
        }
        Ok(())
    }

    fn end_statement(&mut self) {
        let statement = std::mem::replace(&mut self.statement, Message::empty());
        if !statement.is_blank() {
            self.messages.push(statement);
        }
    }

    fn require_end(&self) -> Result<(), BrokenRule> {
        if self.statement.is_blank() {
            return Ok(());
        }
        Err(BrokenRule::new(
            self.start,
            "a line must end with the semicolon of the statement",
            "end the statement with a semicolon, or put it between `-- +goose StatementBegin` and \
             `-- +goose StatementEnd`",
        ))
    }

    fn finish(self) -> Result<WayUp, BrokenRule> {
        let Some(up) = self.up else {
            return Err(BrokenRule::new(
                0,
                "there must be a line `-- +goose Up`",
                "add that line before the first statement",
            ));
        };
        if self.part == Part::Block {
            return Err(BrokenRule::new(
                self.start,
                "`-- +goose StatementBegin` must have its `-- +goose StatementEnd`",
                "add the line `-- +goose StatementEnd` after the statement",
            ));
        }
        self.require_end()?;
        Ok(WayUp {
            messages: self.messages,
            transaction: self.transaction,
            ranges: std::iter::once(up..self.end).collect(),
        })
    }
}

/// The annotation of a line, without its prefix.
fn annotation(line: &str) -> Option<String> {
    let text = line.trim().strip_prefix("--")?;
    text.contains(PREFIX).then(|| {
        text.replace("--", "")
            .replacen(PREFIX, "", 1)
            .trim()
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let up = parse(text).unwrap();
        up.messages
            .iter()
            .map(|message| message.text().to_owned())
            .collect()
    }

    #[test]
    fn each_statement_of_the_way_up_is_a_message() {
        let text = "-- a note\n-- +goose Up\n-- +goose NO TRANSACTION\n-- of a\ncreate a; -- end\n\
                    create\n-- kept\n  b;\n\n-- +goose StatementBegin\nbody;\n  end;\n\
                    -- +goose StatementEnd\nc; d;\n-- +goose Down\n-- +goose StatementBegin\n\
                    drop\n-- +goose StatementEnd\nrest without an end";
        assert_eq!(
            messages(text),
            [
                "create a; -- end\n",
                "create\n-- kept\n  b;\n",
                "body;\n  end;\n",
                "c; d;\n"
            ]
        );
        assert_eq!(parse(text).unwrap().transaction, Transaction::None);
        assert!(messages("--+goose up\n--  +goose down\n").is_empty());
    }

    #[test]
    fn a_carriage_return_before_a_line_feed_is_not_sent() {
        assert_eq!(messages("-- +goose Up\r\na\r\nb;\r\n"), ["a\nb;\n"]);
    }

    #[test]
    fn substitution_matters_only_for_lines_with_a_variable() {
        let text = "-- +goose Up\n-- +goose ENVSUB ON\na;\n-- +goose ENVSUB OFF\n$b;\n";
        assert_eq!(messages(text), ["a;\n", "$b;\n"]);
        let text = text.replace("a;", "${A};");
        assert_eq!(parse(&text).unwrap_err().offset, 33);
    }

    #[test]
    fn a_file_that_goose_refuses_is_refused() {
        for (text, offset) in [
            ("a;\n-- +goose Up\n", 0),
            ("\u{feff}-- +goose Up\na;\n", 0),
            ("-- only a note\n", 0),
            ("-- +goose Up\na\n", 13),
            ("-- +goose Up\na\n-- +goose Down\n", 13),
            ("-- +goose Up\n-- +goose Up\n", 13),
            ("-- +goose Down\n", 0),
            ("-- +goose Up\n-- +goose StatementEnd\n", 13),
            ("-- +goose Up\n-- +goose StatementBegin\na;\n", 38),
            ("-- +goose Up\n-- +goose Sideways\n", 13),
            ("-- +goose Up\n  -- +goose Down\n", 13),
        ] {
            assert_eq!(parse(text).unwrap_err().offset, offset, "{text}");
        }
    }
}
