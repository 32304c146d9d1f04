//! A SQL file in pieces of whole statements, so that a large one is never in memory as a whole.

use std::io::Read;

use crate::error::{Error, ErrorKind, Result};
use crate::provision::inputs::InputFile;
use crate::provision::script::Script;

/// How much is read at once. A statement that is longer is read with twice as much each time.
const READ: usize = 256 * 1024;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Some statements of a file, in their order.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) script: Script,
    /// The bytes of the file before it, without a byte order mark.
    pub(super) base: usize,
}

/// Reads a file piece by piece.
pub(super) struct Pieces<'a> {
    file: &'a InputFile,
    source: Box<dyn Read + Send>,
    /// What was read and not handed out.
    held: Vec<u8>,
    base: usize,
    is_over: bool,
}

impl<'a> Pieces<'a> {
    pub(super) fn of(file: &'a InputFile) -> Result<Self> {
        let source = file.open().map_err(|error| unreadable(file, error))?;
        Ok(Self {
            file,
            source,
            held: Vec::new(),
            base: 0,
            is_over: false,
        })
    }

    /// The next piece; none after the last.
    pub(super) fn next(&mut self) -> Result<Option<Piece>> {
        let mut wanted = READ;
        while !self.is_over {
            self.read(wanted)?;
            let mut script = Script::part(&self.file.shown, self.readable()?);
            let len = if self.is_over {
                script.text().len()
            } else {
                script.ended_len()
            };
            if len > 0 {
                if len < script.text().len() {
                    script = Script::part(&self.file.shown, &script.text()[..len]);
                }
                self.held.drain(..len);
                self.base += len;
                return Ok(Some(Piece {
                    script,
                    base: self.base - len,
                }));
            }
            wanted = self.held.len().max(READ);
        }
        Ok(None)
    }

    fn read(&mut self, wanted: usize) -> Result<()> {
        let mut more = self.source.by_ref().take(wanted as u64);
        let read = more
            .read_to_end(&mut self.held)
            .map_err(|error| unreadable(self.file, error))?;
        self.is_over = read < wanted;
        if self.base == 0 && self.held.starts_with(BYTE_ORDER_MARK) {
            self.held.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(())
    }

    /// What is held, up to a character that is not yet there as a whole.
    fn readable(&self) -> Result<&str> {
        match std::str::from_utf8(&self.held) {
            Ok(text) => Ok(text),
            Err(error) if error.error_len().is_none() && !self.is_over => {
                Ok(std::str::from_utf8(&self.held[..error.valid_up_to()])
                    .expect("it is valid up to there"))
            }
            // With the line, which takes the whole file to tell.
            Err(error) => Err(self
                .file
                .text(ErrorKind::Seed)
                .err()
                .unwrap_or_else(|| unreadable(self.file, error))),
        }
    }
}

fn unreadable(file: &InputFile, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Seed, format!("{} cannot be read", file.shown)).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_text_comes_in_whole_statements_and_nothing_is_lost() {
        let long = format!("insert into t values ('{}');\n", "é;".repeat(400_000));
        let text = format!(
            "\u{feff}{}{long}{}select 'end'",
            "select ';é';\n".repeat(40_000),
            "select 1;".repeat(50_000)
        );
        let file = InputFile::embedded("seed", "x.sql", &text);
        let (mut pieces, mut found, mut at, mut count) =
            (Pieces::of(&file).expect("it opens"), Vec::new(), 0, 0);
        while let Some(piece) = pieces.next().expect("it reads") {
            assert_eq!(piece.base, at);
            at += piece.script.text().len();
            count += 1;
            found.extend(
                piece
                    .script
                    .statements()
                    .iter()
                    .map(|statement| statement.text().to_owned()),
            );
        }
        let whole = Script::new("x.sql", &*text);
        assert_eq!(at, whole.text().len());
        assert!(
            found
                .iter()
                .eq(whole.statements().iter().map(|statement| statement.text()))
        );
        assert!(
            (4..12).contains(&count),
            "{count} pieces of {} bytes",
            text.len()
        );
    }

    #[test]
    fn nothing_and_half_a_statement_are_pieces_too() {
        for (text, statements) in [
            ("", 0),
            ("\u{feff}", 0),
            ("-- a", 0),
            ("select 1", 1),
            ("select 'a; b", 1),
        ] {
            let file = InputFile::embedded("seed", "x.sql", text);
            let mut pieces = Pieces::of(&file).expect("it opens");
            let mut found = 0;
            while let Some(piece) = pieces.next().expect("it reads") {
                found += piece.script.statements().len();
            }
            assert_eq!(found, statements, "{text:?}");
        }
    }
}
