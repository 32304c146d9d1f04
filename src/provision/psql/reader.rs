//! Reads a file as psql does, unit by unit, so a large file is never in memory as a whole.
//!
//! ```text
//! SQL ---- next() ----> statement | command | variable
//!  ^                       |
//!  |                       | COPY .. FROM STDIN
//!  +---- `\.` or end ---- data: read_data()
//! ```
//!
//! psql reads line by line. So the data of a COPY begins in the line after its semicolon, and what
//! follows the semicolon in its own line runs after the data.

use std::io::{BufRead as _, Read as _};

use super::scan::{Found, Scan, Span};
use super::source::{READ_BYTES, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::lexer::{Token, Tokens};
use crate::provision::input_file::InputFile;

/// How many bytes of a COPY's data are sent at once.
const CHUNK_BYTES: usize = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// One unit of a file. `offset` is its byte in the file, without a byte order mark.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Statement(Statement),
    Command {
        text: String,
        offset: usize,
        /// The statement before it, which has no semicolon.
        open: Option<Statement>,
    },
    Variable {
        text: String,
        offset: usize,
    },
}

/// A statement without its semicolon.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) text: String,
    pub(super) offset: usize,
    /// See [`Span::has_conflict`].
    pub(super) has_conflict: bool,
}

pub(super) struct Reader<'a> {
    file: &'a InputFile,
    kind: ErrorKind,
    source: Source,
    pub(super) scan: Scan,
    /// The text that was read, and whose units were not all returned yet.
    window: String,
    /// The first bytes of a character whose other bytes were not read yet.
    partial: Vec<u8>,
    /// The byte of the file at which the window begins.
    base: usize,
    /// The byte of the window that follows the data of a COPY, and the length of these data.
    gap: (usize, usize),
    is_eof: bool,
}

impl<'a> Reader<'a> {
    /// Opens a file. An error has this kind.
    pub(super) fn open(file: &'a InputFile, kind: ErrorKind) -> Result<Self> {
        let source = file.open().map_err(|error| unreadable(file, kind, error))?;
        let mut reader = Self {
            file,
            kind,
            source: Source::new(source),
            scan: Scan::default(),
            window: String::new(),
            partial: Vec::new(),
            base: 0,
            gap: (0, 0),
            is_eof: false,
        };
        // psql skips the mark at the start of a file, too.
        let start = reader.read_bytes(BYTE_ORDER_MARK.len())?;
        reader.is_eof = false;
        if start != BYTE_ORDER_MARK {
            reader.source.give_back(start);
        }
        Ok(reader)
    }

    /// The next unit; none after the last.
    pub(super) fn next(&mut self) -> Result<Option<Unit>> {
        loop {
            if let Some(found) = self.scan.find(&self.window, self.is_eof) {
                return Ok(Some(self.unit(&found)));
            }
            if self.is_eof {
                return Ok(None);
            }
            self.read_on()?;
        }
    }

    /// Whether the file begins with this text, after a byte order mark.
    pub(super) fn starts_with(&mut self, text: &str) -> Result<bool> {
        while self.window.len() < text.len() && !self.is_eof {
            self.read_on()?;
        }
        Ok(self.base == 0 && self.window.starts_with(text))
    }

    /// How many bytes of the file the units so far occupy.
    pub(super) fn position(&self) -> usize {
        self.base + self.scan.needed_from() + self.gap.1
    }

    /// Goes on with the data of a COPY, which was the last unit. Returns their byte in the file.
    pub(super) fn start_data(&mut self) -> Result<usize> {
        while !self.window[self.scan.needed_from()..].contains('\n') && !self.is_eof {
            self.read_on()?;
        }
        let at = self.scan.needed_from();
        let line_end = self.window[at..].find('\n');
        let data_start = line_end.map_or(self.window.len(), |end| at + end + 1);
        let mut returned = self.window.split_off(data_start).into_bytes();
        returned.append(&mut self.partial);
        self.source.give_back(returned);
        // Two COPY in one line have their data one after the other, with one gap for both.
        if self.gap.0 != data_start {
            self.base += self.gap.1;
            self.gap = (data_start, 0);
        }
        self.is_eof = false;
        Ok(self.offset_of(data_start))
    }

    /// Reads whole lines of a COPY's data, about [`CHUNK_BYTES`]. Returns whether more data may
    /// follow. The line `\.` ends them in every format, as in psql.
    pub(super) fn read_data(&mut self, chunk: &mut Vec<u8>) -> Result<bool> {
        chunk.clear();
        while chunk.len() < CHUNK_BYTES {
            let start = chunk.len();
            let read = self.source.read_until(b'\n', chunk);
            let read = read.map_err(|error| unreadable(self.file, self.kind, error))?;
            self.gap.1 += read;
            let is_end = matches!(&chunk[start..], b"\\.\n" | b"\\.\r\n");
            if is_end {
                chunk.truncate(start);
            }
            if is_end || read == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn unit(&self, found: &Found) -> Unit {
        let statement = |span: &Span| Statement {
            text: if span.has_escape {
                without_escapes(&self.window[span.start..span.end])
            } else {
                self.window[span.start..span.end].to_owned()
            },
            offset: self.offset_of(span.start),
            has_conflict: span.has_conflict,
        };
        match found {
            Found::Statement(span) => Unit::Statement(statement(span)),
            Found::Command { command, open } => Unit::Command {
                text: self.window[command.start..command.end]
                    .trim_end()
                    .to_owned(),
                offset: self.offset_of(command.start),
                open: open.as_ref().map(statement),
            },
            Found::Variable(span) => Unit::Variable {
                text: self.window[span.start..span.end].to_owned(),
                offset: self.offset_of(span.start),
            },
        }
    }

    fn offset_of(&self, at: usize) -> usize {
        let (start, length) = self.gap;
        self.base + at + if at >= start { length } else { 0 }
    }

    /// Extends the window. It is at least doubled, so that a long statement is scanned at most
    /// twice.
    fn read_on(&mut self) -> Result<()> {
        let needed = self.scan.needed_from();
        let (start, length) = self.gap;
        (self.base, self.gap) = if needed >= start {
            (self.base + needed + length, (0, 0))
        } else {
            (self.base + needed, (start - needed, length))
        };
        self.window.drain(..needed);
        self.scan.forget(needed);
        let bytes = self.read_bytes(self.window.len().max(READ_BYTES))?;
        let mut read = std::mem::take(&mut self.partial);
        read.extend_from_slice(&bytes);
        match std::str::from_utf8(&read) {
            Ok(text) => self.window.push_str(text),
            Err(error) if error.error_len().is_none() && !self.is_eof => {
                self.partial = read.split_off(error.valid_up_to());
                let text = std::str::from_utf8(&read).expect("the bytes before it are valid");
                self.window.push_str(text);
            }
            // The error names the line. To find it, the whole file is read again.
            Err(error) => {
                let text = self.file.text(self.kind);
                return Err(text
                    .err()
                    .unwrap_or_else(|| unreadable(self.file, self.kind, error)));
            }
        }
        Ok(())
    }

    fn read_bytes(&mut self, wanted: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(wanted);
        let mut source = self.source.by_ref().take(wanted as u64);
        let read = source.read_to_end(&mut bytes);
        read.map_err(|error| unreadable(self.file, self.kind, error))?;
        self.is_eof = bytes.len() < wanted;
        Ok(bytes)
    }
}

/// A statement without the backslashes of `\;` and `\:`. In quotes, they are characters.
fn without_escapes(text: &str) -> String {
    let mut sent = String::with_capacity(text.len());
    let mut tokens = Tokens::new(text);
    let mut at = 0;
    while let Some(token) = tokens.next() {
        let follows = text[tokens.end..].starts_with([';', ':']);
        if token == Token::Symbol('\\') && follows {
            sent.push_str(&text[at..tokens.start]);
            at = tokens.end;
            tokens.end += 1;
        }
    }
    sent.push_str(&text[at..]);
    sent
}

fn unreadable(
    file: &InputFile,
    kind: ErrorKind,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::new(kind, format!("{} cannot be read", file.display_path)).with_source(error)
}

#[cfg(test)]
mod tests;
