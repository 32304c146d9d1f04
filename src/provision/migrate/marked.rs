//! Migration files that contain the way up and the way down, divided by marker lines.

use std::ops::Range;

use super::message::Message;
use super::step::Transaction;
use crate::error::{Error, ErrorKind, Result};
use crate::excerpt::{Position, excerpt};
use crate::provision::direction::Direction;
use crate::provision::input_file::InputFile;
use crate::provision::markers::Marker;
use crate::provision::sql_script::Script;

/// How ebbtide reads the files of a tool whose files contain both ways.
#[derive(Debug)]
pub(in crate::provision) struct Marked {
    pub(in crate::provision) marker: &'static Marker,
    pub(in crate::provision) parse: Parse,
}

/// Reads one way of a file's text. The error has the byte at which the file breaks a rule.
pub(super) type Parse = fn(&str, Direction) -> Result<Way, BrokenRule>;

/// The way up or the way down of a file.
#[derive(Debug)]
pub(in crate::provision) struct Way {
    pub(super) messages: Vec<Message<'static>>,
    pub(super) transaction: Transaction,
    /// The bytes of the file that belong to the way.
    pub(super) ranges: Vec<Range<usize>>,
}

/// A rule of the tool that a file breaks.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::provision) struct BrokenRule {
    pub(super) offset: usize,
    /// The rule as a clause: `a statement must end with a semicolon`.
    pub(super) rule: String,
    pub(super) help: String,
}

impl Marked {
    /// The script of a file's way up.
    ///
    /// # Errors
    /// The file breaks a rule of the tool.
    pub(in crate::provision) fn script(&self, file: &InputFile, text: &str) -> Result<Script> {
        let way_up = self.read(file, text, Direction::Up)?;
        Ok(way_up.script(&file.display_path, text))
    }

    /// Whether the file has a way down. It counts as one, too, if it breaks a rule: reading it
    /// reports that.
    pub(in crate::provision) fn has_down(&self, text: &str) -> bool {
        (self.parse)(text, Direction::Down).map_or(true, |way| way.has_statement())
    }

    /// One way of a file.
    ///
    /// # Errors
    /// The file breaks a rule of the tool.
    pub(super) fn read(&self, file: &InputFile, text: &str, direction: Direction) -> Result<Way> {
        (self.parse)(text, direction).map_err(|broken| broken.of_file(self.marker, file, text))
    }
}

impl Way {
    /// The way as a script: the file's text with spaces instead of what does not belong to the way.
    /// So every place in the script is the same as in the file.
    pub(super) fn script(&self, name: &str, text: &str) -> Script {
        let mut at = 0;
        let mut kept = String::with_capacity(text.len());
        for range in &self.ranges {
            blank(&mut kept, &text[at..range.start]);
            kept.push_str(&text[range.clone()]);
            at = range.end;
        }
        blank(&mut kept, &text[at..]);
        Script::part(name, kept)
    }

    /// Whether there is more than comments.
    pub(super) fn has_statement(&self) -> bool {
        self.messages.iter().any(Message::has_statement)
    }
}

impl BrokenRule {
    pub(super) fn new(offset: usize, rule: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            offset,
            rule: rule.into(),
            help: help.into(),
        }
    }

    fn of_file(self, marker: &Marker, file: &InputFile, text: &str) -> Error {
        let Position { line, column } = Position::of_byte(text, self.offset);
        let name = &file.display_path;
        let message = format!(
            "in a migration of {}, {}: {name}:{line}:{column}",
            marker.tool, self.rule
        );
        Error::new(ErrorKind::MigrationSource, message)
            .with_evidence("the line", excerpt(name, text, self.offset))
            .with_help(self.help)
    }
}

/// The lines of a text as Go's `bufio.ScanLines` returns them: without the line feed and one
/// carriage return before it. Each with its byte, and with the byte after the line.
pub(super) fn go_lines(text: &str) -> impl Iterator<Item = (usize, &str, usize)> {
    text.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        let line = line.strip_suffix('\n').unwrap_or(line);
        Some((start, line.strip_suffix('\r').unwrap_or(line), *at))
    })
}

/// Whether a line ends a statement: its last word before a comment ends with a semicolon. goose and
/// sql-migrate have the same rule.
pub(super) fn ends_statement(line: &str) -> bool {
    line.split_whitespace()
        .take_while(|word| !word.starts_with("--"))
        .last()
        .is_some_and(|word| word.ends_with(';'))
}

/// Adds as many spaces as the text has bytes, but keeps its line feeds.
fn blank(kept: &mut String, text: &str) {
    kept.extend(
        text.bytes()
            .map(|byte| if byte == b'\n' { '\n' } else { ' ' }),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_ends_with_the_last_word_before_a_comment() {
        for line in ["select 1;", "  end; -- ; of it", "a;b;", ";"] {
            assert!(ends_statement(line), "{line}");
        }
        for line in [
            "select 1",
            "-- a;",
            "select 1; -- a",
            "select ';' x",
            "",
            "a; b --;",
        ] {
            assert_eq!(ends_statement(line), line == "select 1; -- a", "{line}");
        }
    }

    #[test]
    fn lines_lose_their_line_break_and_keep_their_place() {
        let lines: Vec<_> = go_lines("a\r\n\nb\r\r\nc").collect();
        assert_eq!(lines, [(0, "a", 3), (3, "", 4), (4, "b\r", 8), (8, "c", 9)]);
    }
}
