//! Splits a SQL file into pieces of whole statements, so a large file is never in memory as a
//! whole.

use std::io::Read;

use crate::error::{Error, ErrorKind, Result};
use crate::provision::input_file::InputFile;
use crate::provision::sql_script::Script;

/// How many bytes are read at once. For a statement that is longer, the buffer is doubled until it
/// contains the end of the statement.
const READ_BYTES: usize = 256 * 1024;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Consecutive statements of a file.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) script: Script,
    /// How many bytes of the file precede the piece, without a byte order mark.
    pub(super) base: usize,
}

/// Reads a file piece by piece.
pub(super) struct Pieces<'a> {
    file: &'a InputFile,
    source: Box<dyn Read + Send>,
    /// The bytes that were read, and not returned as a piece yet.
    buffer: Vec<u8>,
    base: usize,
    is_eof: bool,
}

impl<'a> Pieces<'a> {
    pub(super) fn of(file: &'a InputFile) -> Result<Self> {
        let source = file.open().map_err(|error| unreadable(file, error))?;
        Ok(Self {
            file,
            source,
            buffer: Vec::new(),
            base: 0,
            is_eof: false,
        })
    }

    /// The next piece; none after the last.
    ///
    /// A piece ends after a terminated statement. Only the last piece may end with an unterminated
    /// one.
    pub(super) fn next(&mut self) -> Result<Option<Piece>> {
        let mut wanted = READ_BYTES;
        while !self.is_eof {
            self.read(wanted)?;
            let mut script = Script::part(&self.file.display_path, self.readable()?);
            let len = if self.is_eof {
                script.text().len()
            } else {
                script.terminated_len()
            };
            if len > 0 {
                if len < script.text().len() {
                    script = Script::part(&self.file.display_path, &script.text()[..len]);
                }
                self.buffer.drain(..len);
                self.base += len;
                return Ok(Some(Piece {
                    script,
                    base: self.base - len,
                }));
            }
            wanted = self.buffer.len().max(READ_BYTES);
        }
        Ok(None)
    }

    fn read(&mut self, wanted: usize) -> Result<()> {
        let mut more = self.source.by_ref().take(wanted as u64);
        let read = more
            .read_to_end(&mut self.buffer)
            .map_err(|error| unreadable(self.file, error))?;
        self.is_eof = read < wanted;
        if self.base == 0 && self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.buffer.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(())
    }

    /// The text of the buffer, without the last character if only a part of it was read so far.
    fn readable(&self) -> Result<&str> {
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(text),
            Err(error) if error.error_len().is_none() && !self.is_eof => {
                Ok(std::str::from_utf8(&self.buffer[..error.valid_up_to()])
                    .expect("the bytes before valid_up_to are valid"))
            }
            // The error names the line. To find it, the whole file is read again.
            Err(error) => Err(self
                .file
                .text(ErrorKind::Seed)
                .err()
                .unwrap_or_else(|| unreadable(self.file, error))),
        }
    }
}

fn unreadable(file: &InputFile, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(
        ErrorKind::Seed,
        format!("{} cannot be read", file.display_path),
    )
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_split_between_statements_and_nothing_is_lost() {
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
    fn an_empty_file_and_an_unterminated_statement_are_read() {
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
