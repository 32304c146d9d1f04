//! Reads one way of a goose file, statement by statement.
//!
//! ```text
//! before --Up--> up --StatementBegin--> block --StatementEnd--> up
//!                up --Down--> down --StatementBegin--> block --StatementEnd--> down
//! ```
//! <https://pressly.github.io/goose/documentation/annotations/>

use super::marked::{BrokenRule, Way, ends_statement, go_lines};
use super::message::Message;
use super::step::Transaction;
use crate::provision::direction::Direction;

const PREFIX: &str = "+goose";

/// The part of the file that a line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Before,
    Way(Direction),
    Block(Direction),
}

/// What was read so far.
struct Reader {
    /// The way to read.
    direction: Direction,
    part: Part,
    statement: Message<'static>,
    /// The bytes at which the statement and the last block start.
    start: usize,
    begun_at: usize,
    messages: Vec<Message<'static>>,
    transaction: Transaction,
    substitutes: bool,
    /// The bytes at which the ways start.
    up: Option<usize>,
    down: Option<usize>,
}

/// One way of a file. Each statement is a message of its own.
pub(super) fn parse(text: &str, direction: Direction) -> Result<Way, BrokenRule> {
    let mut reader = Reader {
        direction,
        part: Part::Before,
        statement: Message::empty(),
        start: 0,
        begun_at: 0,
        messages: Vec::new(),
        transaction: Transaction::Own,
        substitutes: false,
        up: None,
        down: None,
    };
    for (at, line, _) in go_lines(text) {
        match annotation(line) {
            Some(word) => reader.annotation(&word, at, line)?,
            None => reader.line(line, at)?,
        }
    }
    reader.finish(text.len())
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
            self.part = Part::Way(Direction::Up);
            self.up = Some(at);
        } else if is("Down") && self.part == Part::Way(Direction::Up) {
            self.require_end()?;
            self.part = Part::Way(Direction::Down);
            self.down = Some(at);
        } else if is("StatementBegin")
            && let Part::Way(direction) = self.part
        {
            self.part = Part::Block(direction);
            self.begun_at = at;
        } else if is("StatementEnd")
            && let Part::Block(direction) = self.part
        {
            // goose does not notice the end of an empty block, and drops the next line.
            if direction == self.direction && self.statement.is_blank() {
                return Err(BrokenRule::new(
                    self.begun_at,
                    "a block must contain a statement",
                    "write a statement such as `select 1;` into the block, or remove the block",
                ));
            }
            self.end_statement();
            self.part = Part::Way(direction);
        } else {
            return Err(BrokenRule::new(
                at,
                format!("`{}` must not stand here", line.trim()),
                "the order is Up, then Down, and after each any number of StatementBegin and \
                 StatementEnd in pairs",
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
            Part::Way(direction) | Part::Block(direction) if direction != self.direction => {
                return Ok(());
            }
            Part::Way(_) | Part::Block(_) => {}
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
        if matches!(self.part, Part::Way(_)) && ends_statement(line) {
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

    fn finish(self, end: usize) -> Result<Way, BrokenRule> {
        let Some(up) = self.up else {
            return Err(BrokenRule::new(
                0,
                "there must be a line `-- +goose Up`",
                "add that line before the first statement",
            ));
        };
        if matches!(self.part, Part::Block(_)) {
            return Err(BrokenRule::new(
                self.begun_at,
                "`-- +goose StatementBegin` must have its `-- +goose StatementEnd`",
                "add the line `-- +goose StatementEnd` after the statement",
            ));
        }
        self.require_end()?;
        let range = match self.direction {
            Direction::Up => Some(up..self.down.unwrap_or(end)),
            Direction::Down => self.down.map(|down| down..end),
        };
        Ok(Way {
            messages: self.messages,
            transaction: self.transaction,
            ranges: range.into_iter().collect(),
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

    fn messages(text: &str, direction: Direction) -> Vec<String> {
        let way = parse(text, direction).unwrap();
        way.messages
            .iter()
            .map(|message| message.text().to_owned())
            .collect()
    }

    #[test]
    fn each_statement_of_a_way_is_a_message() {
        let text = "-- a note\n-- +goose Up\n-- +goose NO TRANSACTION\n-- of a\ncreate a; -- end\n\
                    create\n-- kept\n  b;\n\n-- +goose StatementBegin\nbody;\n  end;\n\
                    -- +goose StatementEnd\nc; d;\n-- +goose Down\n-- +goose StatementBegin\n\
                    drop;\n-- a note\nb\n-- +goose StatementEnd\nlast;";
        assert_eq!(
            messages(text, Direction::Up),
            [
                "create a; -- end\n",
                "create\n-- kept\n  b;\n",
                "body;\n  end;\n",
                "c; d;\n"
            ]
        );
        assert_eq!(
            messages(text, Direction::Down),
            ["drop;\n-- a note\nb\n", "last;\n"]
        );
        for direction in [Direction::Up, Direction::Down] {
            let transaction = parse(text, direction).unwrap().transaction;
            assert_eq!(transaction, Transaction::None);
            assert!(messages("--+goose up\n--  +goose down\n", direction).is_empty());
        }
        assert!(messages("-- +goose Up\na;\n", Direction::Down).is_empty());
    }

    #[test]
    fn a_carriage_return_before_a_line_feed_is_not_sent() {
        let text = "-- +goose Up\r\na\r\nb;\r\n";
        assert_eq!(messages(text, Direction::Up), ["a\nb;\n"]);
    }

    #[test]
    fn substitution_matters_only_for_lines_with_a_variable() {
        let text = "-- +goose Up\n-- +goose ENVSUB ON\na;\n-- +goose ENVSUB OFF\n$b;\n";
        assert_eq!(messages(text, Direction::Up), ["a;\n", "$b;\n"]);
        let text = text.replace("a;", "${A};");
        assert_eq!(parse(&text, Direction::Up).unwrap_err().offset, 33);
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
            ("-- +goose Up\n-- +goose StatementBegin\na;\n", 13),
            (
                "-- +goose Up\n-- +goose Down\n-- +goose StatementBegin\na;\n",
                28,
            ),
            ("-- +goose Up\n-- +goose Down\n-- +goose StatementEnd\n", 28),
            (
                "-- +goose Up\n-- +goose StatementBegin\n-- later\n-- +goose StatementEnd\na;\n",
                13,
            ),
            ("-- +goose Up\n-- +goose Sideways\n", 13),
            ("-- +goose Up\n  -- +goose Down\n", 13),
        ] {
            assert_eq!(
                parse(text, Direction::Up).unwrap_err().offset,
                offset,
                "{text}"
            );
        }
    }
}
