//! Characters that an editor does not show, and that PostgreSQL does not read as white space.
//!
//! PostgreSQL's white space is ASCII. It reads every other character outside of quotes as part of a
//! name: <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>. So a no-break space
//! makes either a syntax error or a name with a space at its end.

use std::fmt;

use super::sql_script::Script;
use crate::error::{Error, ErrorKind};
use crate::excerpt::Position;
use crate::lexer::{Token, Tokens};

/// A character that is not visible, with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Invisible {
    pub(super) offset: usize,
    character: char,
}

/// The byte order mark. PostgreSQL refuses it; psql removes it.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// The characters with a name. Others are named by their code alone.
const NAMES: [(char, &str); 27] = [
    ('\0', "NUL"),
    ('\u{85}', "next line"),
    ('\u{a0}', "no-break space"),
    ('\u{ad}', "soft hyphen"),
    ('\u{1680}', "ogham space mark"),
    ('\u{180e}', "mongolian vowel separator"),
    ('\u{200b}', "zero width space"),
    ('\u{200c}', "zero width non-joiner"),
    ('\u{200d}', "zero width joiner"),
    ('\u{200e}', "left-to-right mark"),
    ('\u{200f}', "right-to-left mark"),
    ('\u{2028}', "line separator"),
    ('\u{2029}', "paragraph separator"),
    ('\u{202a}', "left-to-right embedding"),
    ('\u{202b}', "right-to-left embedding"),
    ('\u{202c}', "pop directional formatting"),
    ('\u{202d}', "left-to-right override"),
    ('\u{202e}', "right-to-left override"),
    ('\u{202f}', "narrow no-break space"),
    ('\u{205f}', "medium mathematical space"),
    ('\u{2060}', "word joiner"),
    ('\u{2061}', "function application"),
    ('\u{2062}', "invisible times"),
    ('\u{2063}', "invisible separator"),
    ('\u{2064}', "invisible plus"),
    ('\u{3000}', "ideographic space"),
    (BYTE_ORDER_MARK, "byte order mark"),
];

impl Invisible {
    /// The first one outside of quotes and comments, in a text that begins at `offset` of its file.
    pub(super) fn in_sql(text: &str, offset: usize) -> Option<Self> {
        if !text.contains(is_invisible) {
            return None;
        }
        let mut tokens = Tokens::new(text);
        while let Some(token) = tokens.next() {
            let start = tokens.start;
            let found = match token {
                Token::Word(word) => word.char_indices().find(|(_, c)| is_invisible(*c)),
                Token::Symbol(symbol) => Some((0, symbol)).filter(|(_, c)| is_invisible(*c)),
                Token::Quoted(_) | Token::Literal(_) => None,
            };
            if let Some((at, character)) = found {
                return Some(Self {
                    offset: offset + start + at,
                    character,
                });
            }
        }
        None
    }

    /// The first character of a text, if it is a byte order mark.
    pub(super) fn byte_order_mark(text: &str) -> Option<Self> {
        text.starts_with(BYTE_ORDER_MARK).then_some(Self {
            offset: 0,
            character: BYTE_ORDER_MARK,
        })
    }

    /// The first NUL. A value and a statement of PostgreSQL cannot contain it.
    pub(super) fn nul(text: &str) -> Option<Self> {
        let offset = text.find('\0')?;
        Some(Self {
            offset,
            character: '\0',
        })
    }

    /// The place in a file: `name:line:column`.
    pub(super) fn place(self, name: &str, text: &str) -> String {
        let Position { line, column } = Position::of_byte(text, self.offset);
        format!("{name}:{line}:{column}")
    }

    /// The character and its place in a script: `a no-break space (U+00A0) at a.sql:1:7`.
    pub(super) fn at_place(self, script: &Script) -> String {
        format!("{self} at {}", script.place(self.offset))
    }

    /// The error for a character that the file must not contain.
    pub(super) fn refusal(self, kind: ErrorKind, rule: &str, name: &str, text: &str) -> Error {
        let message = format!("{rule}, but {} has {self}", self.place(name, text));
        Error::new(kind, message).with_help(match self.character {
            BYTE_ORDER_MARK => "save the file as UTF-8 without a byte order mark",
            _ => "delete the character, or save the file as UTF-8 again",
        })
    }
}

impl fmt::Display for Invisible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = u32::from(self.character);
        match name(self.character) {
            Some(name) => {
                let article = if name.starts_with(['i', 'o']) {
                    "an"
                } else {
                    "a"
                };
                write!(f, "{article} {name} (U+{code:04X})")
            }
            None => write!(f, "the character U+{code:04X}"),
        }
    }
}

/// The name in the Unicode standard, for characters that occur by mistake.
pub(super) fn name(c: char) -> Option<&'static str> {
    let (_, name) = NAMES.iter().find(|(known, _)| *known == c)?;
    Some(name)
}

/// Whether a character is white space for people or takes no place, and is part of a name for
/// PostgreSQL.
pub(super) fn is_invisible(c: char) -> bool {
    if c.is_ascii() {
        // PostgreSQL's white space is the space and these five.
        return c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{b}' | '\u{c}');
    }
    c.is_whitespace() || c.is_control() || name(c).is_some()
}

/// Whether bytes seem to be UTF-16: they begin with its mark, or every second byte is zero.
pub(super) fn looks_like_utf16(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(64)];
    let zeros_at = |rest: usize| {
        let mut half = start.iter().skip(rest).step_by(2);
        start.len() >= 4 && half.all(|byte| *byte == 0)
    };
    bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || zeros_at(0) || zeros_at(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<String> {
        Invisible::in_sql(text, 0).map(|it| format!("{} {it}", it.offset))
    }

    #[test]
    fn a_character_outside_of_quotes_and_comments_is_found_and_named() {
        for (text, expected) in [
            ("select\u{a0}1", "6 a no-break space (U+00A0)"),
            ("\u{200b}select 1", "0 a zero width space (U+200B)"),
            ("create table a\u{2009}(id int)", "14 the character U+2009"),
            ("select 1 \u{7} ", "9 the character U+0007"),
            ("a \u{feff}b", "2 a byte order mark (U+FEFF)"),
        ] {
            assert_eq!(found(text).as_deref(), Some(expected), "{text:?}");
        }
        for text in [
            "select '\u{a0}', \"\u{200b}\", $$\u{feff}$$ -- \u{a0}\n/* \u{3000} */",
            "select\t\r\n\u{b}\u{c}1",
            "create table größe (日本 int)",
        ] {
            assert_eq!(found(text), None, "{text:?}");
        }
    }

    #[test]
    fn utf_16_is_recognised_with_and_without_its_mark() {
        let utf16 =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        assert!(looks_like_utf16(&utf16("\u{feff}select 1")));
        assert!(looks_like_utf16(&utf16("select 1")));
        assert!(
            !looks_like_utf16(b"select 1\0") && !looks_like_utf16(b"") && !looks_like_utf16(b"\0")
        );
    }
}
