//! One message to the server, and where its text stands in the migration file.

use std::borrow::Cow;

use crate::provision::sql_script::Script;

/// The SQL of one message. A simple query may hold several statements.
///
/// Most tools send a file as it is. Some send each statement alone, without the lines that are
/// theirs, so the text has several pieces of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message<'a> {
    text: Cow<'a, str>,
    pieces: Vec<Piece>,
}

/// Where a piece of the text starts, in the text and in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    in_text: usize,
    in_file: usize,
}

impl<'a> Message<'a> {
    /// The whole file.
    pub(super) fn whole(text: impl Into<Cow<'a, str>>) -> Self {
        Self::part(text, 0)
    }

    /// A part of the file that starts at this byte.
    pub(super) fn part(text: impl Into<Cow<'a, str>>, offset: usize) -> Self {
        let start = Piece {
            in_text: 0,
            in_file: offset,
        };
        Self {
            text: text.into(),
            pieces: vec![start],
        }
    }

    /// A message without text, for [`push`](Self::push).
    pub(super) fn empty() -> Self {
        Self {
            text: Cow::Borrowed(""),
            pieces: Vec::new(),
        }
    }

    /// Adds a line that starts at this byte of the file, and a line feed.
    pub(super) fn push(&mut self, line: &str, offset: usize) {
        self.pieces.push(Piece {
            in_text: self.text.len(),
            in_file: offset,
        });
        let text = self.text.to_mut();
        text.push_str(line);
        text.push('\n');
    }

    /// The text to send.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the text has only white space.
    pub(super) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Whether there is more than comments and white space.
    pub(super) fn has_statement(&self) -> bool {
        !Script::part("", self.text.as_ref()).statements().is_empty()
    }

    /// Removes the text after this byte.
    pub(super) fn truncate(&mut self, len: usize) {
        self.text.to_mut().truncate(len);
    }

    /// The byte of the file for a byte of the text.
    pub(super) fn offset_in_file(&self, byte: usize) -> usize {
        let piece = self.piece_at(byte);
        piece.in_file + (byte - piece.in_text)
    }

    /// The byte of the file at which the statement with this index starts. It is the start of the
    /// message if there is no such statement.
    pub(super) fn offset_of_statement(&self, index: usize) -> usize {
        let script = Script::part("", self.text.as_ref());
        let statements = script.statements();
        let byte = statements.get(index).map_or(0, |found| found.offset());
        self.offset_in_file(byte)
    }

    /// The piece with a character of the text, counted from 1: the byte of the file at which the
    /// piece starts, and the number of characters before the piece.
    pub(super) fn piece_of_char(&self, position: usize) -> (usize, usize) {
        let byte = self
            .text
            .char_indices()
            .nth(position.saturating_sub(1))
            .map_or(self.text.len(), |(at, _)| at);
        let piece = self.piece_at(byte);
        let chars_before = self.text[..piece.in_text].chars().count();
        (piece.in_file, chars_before)
    }

    fn piece_at(&self, byte: usize) -> Piece {
        let after = self.pieces.partition_point(|piece| piece.in_text <= byte);
        let first = Piece {
            in_text: 0,
            in_file: 0,
        };
        after.checked_sub(1).map_or(first, |at| self.pieces[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_text_is_found_in_the_file() {
        // The file is "select 1,\r\n-- left out\n  2/0;\n".
        let mut message = Message::empty();
        message.push("select 1,", 0);
        message.push("  2/0;", 23);
        assert_eq!(message.text(), "select 1,\n  2/0;\n");
        assert_eq!(message.offset_in_file(3), 3);
        assert_eq!(message.offset_in_file(12), 25);
        assert_eq!(message.piece_of_char(13), (23, 10));
        assert_eq!(message.offset_of_statement(0), 0);
        assert_eq!(Message::part("a; b", 7).offset_of_statement(1), 10);
    }
}
