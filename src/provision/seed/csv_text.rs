//! The text of a CSV file as COPY receives it, piece by piece: the same for every server version.

use super::characters::{BYTE_ORDER_MARK, Defect, is_utf16};

const BYTE_ORDER_MARK_BYTES: &[u8] = "\u{feff}".as_bytes();

/// A defect and its place: line and column, both from 1.
pub(super) type Found = (Defect, usize, usize);

/// Reads chunks of bytes, and returns the text for COPY.
///
/// It removes the byte order mark, and quotes a line that consists of `\.` alone. Up to version 17
/// such a line ends the data, and COPY drops every row after it. Quoted, the line is a value in all
/// versions. <https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS>
#[derive(Debug)]
pub(super) struct CsvText {
    delimiter: u8,
    /// The end of the last chunk, whose meaning depends on the next bytes.
    rest: Vec<u8>,
    is_first: bool,
    is_in_quotes: bool,
    /// The last byte that was returned.
    last: u8,
    /// The place of the next byte.
    line: usize,
    column: usize,
}

impl CsvText {
    pub(super) fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            rest: Vec::new(),
            is_first: true,
            is_in_quotes: false,
            last: b'\n',
            line: 1,
            column: 1,
        }
    }

    /// The text for COPY of these bytes, which follow those of the call before.
    ///
    /// # Errors
    /// The first defect.
    pub(super) fn push(&mut self, chunk: &[u8], is_last: bool) -> Result<Vec<u8>, Found> {
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(chunk);
        if self.is_first {
            if bytes.len() < BYTE_ORDER_MARK_BYTES.len() && !is_last {
                self.rest = bytes;
                return Ok(Vec::new());
            }
            self.is_first = false;
            if is_utf16(&bytes) {
                return Err((Defect::Utf16, 1, 1));
            }
            if bytes.starts_with(BYTE_ORDER_MARK_BYTES) {
                bytes.drain(..BYTE_ORDER_MARK_BYTES.len());
            }
        }
        let (complete, is_broken) = match std::str::from_utf8(&bytes) {
            Ok(_) => (bytes.len(), false),
            Err(error) => (error.valid_up_to(), error.error_len().is_some() || is_last),
        };
        let mut text = bytes[..complete].to_vec();
        let mut rest = bytes[complete..].to_vec();
        if !is_last && !is_broken {
            // The next chunk shows whether these bytes are a whole field.
            let undecided = [b"\\".as_slice(), b"\\.", b"\\N"]
                .into_iter()
                .find(|end| text.ends_with(end));
            let kept = text.len() - undecided.map_or(0, <[u8]>::len);
            rest.splice(..0, text.drain(kept..));
        }
        let returned = self.clean(&text)?;
        if is_broken {
            return Err((Defect::NotUtf8, self.line, self.column));
        }
        self.rest = rest;
        Ok(returned)
    }

    /// Cleans whole characters.
    fn clean(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Found> {
        let mut cleaned = Vec::with_capacity(bytes.len() + 2);
        let mut at = 0;
        // Only at these bytes is there anything to decide.
        let is_candidate =
            |byte: &u8| matches!(*byte, b'\\' | 0) || *byte == BYTE_ORDER_MARK_BYTES[0];
        while let Some(steps) = bytes[at..].iter().position(is_candidate) {
            let (plain, rest) = bytes[at..].split_at(steps);
            self.step_over(plain);
            cleaned.extend_from_slice(plain);
            let is_line_start = !self.is_in_quotes && matches!(self.last, b'\n' | b'\r');
            let is_field_start =
                is_line_start || (!self.is_in_quotes && self.last == self.delimiter);
            if rest[0] == 0 {
                return Err((Defect::ZeroByte, self.line, self.column));
            }
            // A mark inside a file comes from files that were joined. In a value it may be text.
            if is_line_start && rest.starts_with(BYTE_ORDER_MARK_BYTES) {
                return Err((Defect::Invisible(BYTE_ORDER_MARK), self.line, self.column));
            }
            if self.delimiter == b'\t' && is_field_start && is_field(rest, b"\\N", b'\t') {
                return Err((Defect::TextFormatNull, self.line, self.column));
            }
            // A field that a delimiter follows is not the whole line.
            let len = if is_line_start && is_field(rest, b"\\.", b'\n') {
                cleaned.extend_from_slice(b"\"\\.\"");
                2
            } else {
                cleaned.push(rest[0]);
                1
            };
            self.step_over(&rest[..len]);
            at += steps + len;
        }
        self.step_over(&bytes[at..]);
        cleaned.extend_from_slice(&bytes[at..]);
        Ok(cleaned)
    }

    /// Moves the place behind these bytes.
    fn step_over(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.last = *last;
        // An escaped quote is two quotes, so the number of quotes decides.
        let count = |of: fn(&u8) -> bool| bytes.iter().filter(|byte| of(byte)).count();
        let quotes = count(|byte| *byte == b'"');
        self.is_in_quotes ^= quotes % 2 == 1;
        self.line += count(|byte| *byte == b'\n');
        let line = bytes.iter().rposition(|byte| *byte == b'\n');
        let of_line = line.map_or(bytes, |feed| &bytes[feed + 1..]);
        let is_char = |byte: &&u8| **byte & 0b1100_0000 != 0b1000_0000;
        let chars = of_line.iter().filter(is_char).count();
        self.column = chars + if line.is_some() { 1 } else { self.column };
    }
}

/// Whether the bytes begin with this field: the delimiter or the end of the line follows.
fn is_field(bytes: &[u8], field: &[u8], delimiter: u8) -> bool {
    bytes.strip_prefix(field).is_some_and(|rest| {
        rest.first()
            .is_none_or(|byte| matches!(byte, b'\n' | b'\r') || *byte == delimiter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text for COPY, read in chunks of so many bytes.
    fn cleaned(bytes: &[u8], delimiter: u8, chunk: usize) -> Result<String, Found> {
        let (mut text, mut all) = (CsvText::new(delimiter), Vec::new());
        for piece in bytes.chunks(chunk) {
            all.extend(text.push(piece, false)?);
        }
        all.extend(text.push(b"", true)?);
        Ok(String::from_utf8(all).expect("it is UTF-8"))
    }

    #[test]
    fn a_line_with_the_old_end_mark_becomes_a_quoted_value_in_chunks_of_any_size() {
        for chunk in 1..40 {
            for (file, copied) in [
                ("a\n\\.\nb\n", "a\n\"\\.\"\nb\n"),
                ("a\r\n\\.\r\nb", "a\r\n\"\\.\"\r\nb"),
                ("a\n\\.", "a\n\"\\.\""),
                ("\u{feff}a,b\né,\\.\n\\.,x\n", "a,b\né,\\.\n\\.,x\n"),
                ("a\n\"x\n\\.\ny\"\n\\.\n", "a\n\"x\n\\.\ny\"\n\"\\.\"\n"),
                (
                    "a\n\"say \"\"\n\\.\n\"\"\"\n",
                    "a\n\"say \"\"\n\\.\n\"\"\"\n",
                ),
                ("\\", "\\"),
                ("", ""),
            ] {
                assert_eq!(cleaned(file.as_bytes(), b',', chunk).as_deref(), Ok(copied));
            }
        }
    }

    #[test]
    fn a_defect_is_found_at_its_line_and_column_in_chunks_of_any_size() {
        for chunk in 1..40 {
            for (file, defect, line, column) in [
                (b"a,b\n1,Garc\xeda\n".as_slice(), Defect::NotUtf8, 2, 7),
                (b"a,b\n1,\xc3\xa9\xc3", Defect::NotUtf8, 2, 4),
                (b"a\n\xc3\xa9\0", Defect::ZeroByte, 2, 2),
                (b"\xff\xfea\0", Defect::Utf16, 1, 1),
                (
                    b"a\nb\n\xef\xbb\xbfc\n",
                    Defect::Invisible(BYTE_ORDER_MARK),
                    3,
                    1,
                ),
            ] {
                let found = cleaned(file, b',', chunk);
                assert_eq!(found, Err((defect, line, column)), "{file:?} by {chunk}");
            }
            let null = cleaned(b"a\tb\n1\t\\N\n", b'\t', chunk);
            assert_eq!(null, Err((Defect::TextFormatNull, 2, 3)));
            assert!(cleaned(b"a\tb\n1\t\"\\N\"\n\\Nx\t\\\n", b'\t', chunk).is_ok());
        }
    }
}
