//! Characters that an editor does not show, and bytes that are not text.

use crate::error::{Error, ErrorKind};
use crate::provision::input_file::InputFile;
use crate::provision::invisible::name;

pub(super) use crate::provision::invisible::BYTE_ORDER_MARK;

/// The byte order marks of UTF-16.
const UTF16_MARKS: [&[u8]; 2] = [&[0xff, 0xfe], &[0xfe, 0xff]];

/// What is wrong with a character or a byte of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    /// The file begins with a byte order mark of UTF-16.
    Utf16,
    /// The bytes are not UTF-8.
    NotUtf8,
    ZeroByte,
    Invisible(char),
    /// `\N`, which stands for null in COPY's text format only.
    TextFormatNull,
}

impl Defect {
    /// The error for a defect at this place. Both numbers count from 1, the column in characters.
    pub(super) fn error(self, file: &InputFile, line: usize, column: usize) -> Error {
        let place = format!("{} {}:{line}:{column}", file.noun, file.display_path);
        let (what, help) = match self {
            Self::Utf16 => (
                "is UTF-16, and not UTF-8".to_owned(),
                "save the file with UTF-8 encoding",
            ),
            Self::NotUtf8 => (
                "is not UTF-8".to_owned(),
                "save the file with UTF-8 encoding",
            ),
            Self::ZeroByte => (
                "has a zero byte".to_owned(),
                "remove it, because no text of PostgreSQL can contain one; if every second byte is \
                 zero, save the file with UTF-8 encoding",
            ),
            Self::Invisible(c) => (
                format!("has an invisible character, {}", description(c)),
                "remove the character, or type a visible one in its place",
            ),
            Self::TextFormatNull => (
                "has the value \\N, which means null in COPY's text format only".to_owned(),
                "export the file as CSV with tabs, leave the field empty for null, or put the \
                 value in double quotes",
            ),
        };
        Error::new(ErrorKind::Seed, format!("{place} {what}")).with_help(help)
    }
}

/// The first bytes of a file, if they are those of UTF-16.
pub(super) fn is_utf16(bytes: &[u8]) -> bool {
    UTF16_MARKS.iter().any(|mark| bytes.starts_with(mark))
}

/// The first invisible character of a text. Line feeds and tabs count as visible.
pub(super) fn first_invisible(text: &str) -> Option<char> {
    text.chars().find(|c| is_invisible(*c))
}

/// Whether editors show nothing, or an ordinary blank, for this character.
pub(super) fn is_invisible(c: char) -> bool {
    let is_blank = matches!(c, '\t' | '\n' | '\r' | ' ');
    !is_blank && (c.is_control() || c.is_whitespace() || name(c).is_some())
}

/// The number of a character with its name: `U+00A0 (no-break space)`.
pub(super) fn description(c: char) -> String {
    let number = u32::from(c);
    match name(c) {
        Some(name) => format!("U+{number:04X} ({name})"),
        None => format!("U+{number:04X}"),
    }
}
