//! Splits SQL into PostgreSQL's tokens, and finds where a statement ends.
//!
//! Unless [`Strings`] states otherwise, it assumes that `standard_conforming_strings` is on.
//! <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>

/// A token of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// An unquoted identifier or keyword as written.
    Word(&'a str),
    /// A quoted identifier, unescaped.
    Quoted(String),
    /// One character of an operator, or a punctuation character.
    Symbol(char),
    /// A string, dollar-quoted body, number or parameter as written.
    ///
    /// Also `U&"..."`, whose escapes depend on a `UESCAPE` that may follow, and a comment without
    /// an end, which the server rejects.
    Literal(&'a str),
}

impl Token<'_> {
    /// Whether this is the keyword, in upper or lower case.
    pub(crate) fn is_word(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// What a backslash means in a string without a prefix: the setting `standard_conforming_strings`.
/// <https://www.postgresql.org/docs/current/runtime-config-compatible.html>
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Strings {
    /// A character like any other.
    #[default]
    Standard,
    /// The start of an escape, as in `E'...'`.
    Escaped,
}

/// Iterates over the tokens of some SQL.
#[derive(Debug, Clone)]
pub(crate) struct Tokens<'a> {
    source: &'a str,
    strings: Strings,
    /// The byte range of the last token.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        Self::from(source, 0, Strings::Standard)
    }

    /// The tokens from a byte on, which must not be within a token.
    pub(crate) fn from(source: &'a str, at: usize, strings: Strings) -> Self {
        Self {
            source,
            strings,
            start: at,
            end: at,
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.start = self.end + blank_len(&self.source[self.end..]);
        let (token, len) = first_token(&self.source[self.start..], self.strings)?;
        self.end = self.start + len;
        Some(token)
    }
}

/// The open constructs in which a semicolon does not end the statement.
///
/// This is psql's rule (`psqlscan.l`): parentheses, and `BEGIN ... END` in the body of a `CREATE
/// FUNCTION` or `CREATE PROCEDURE`, where a `CASE` has its own `END`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Nesting {
    parentheses: usize,
    /// Open `BEGIN` and `CASE` in the body of a routine in standard SQL.
    blocks: usize,
    head: Head,
}

/// What the first words of a statement define.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Head {
    #[default]
    Empty,
    /// `CREATE`
    Create,
    /// `CREATE OR`
    CreateOr,
    /// `CREATE OR REPLACE`
    CreateOrReplace,
    Routine,
    Other,
}

impl Nesting {
    pub(crate) fn is_top_level(&self) -> bool {
        self.parentheses == 0 && self.blocks == 0
    }

    pub(crate) fn follow(&mut self, token: &Token<'_>) {
        match token {
            Token::Symbol('(') => self.parentheses += 1,
            Token::Symbol(')') => self.parentheses = self.parentheses.saturating_sub(1),
            Token::Word(word) => {
                self.head = self.head.followed_by(word);
                let counts = self.parentheses == 0 && self.head == Head::Routine;
                if counts && (token.is_word("begin") || (token.is_word("case") && self.blocks > 0))
                {
                    self.blocks += 1;
                } else if counts && token.is_word("end") {
                    self.blocks = self.blocks.saturating_sub(1);
                }
            }
            Token::Symbol(_) | Token::Quoted(_) | Token::Literal(_) => {}
        }
    }
}

/// Values that were stepped over: the byte after the last complete token, and the byte after the
/// last parenthesis or comma, with the nesting there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values {
    pub(crate) end: usize,
    pub(crate) settled: Option<(usize, Nesting)>,
}

impl Nesting {
    /// Steps over values, such as the rows of an INSERT: numbers, strings without a prefix, commas,
    /// parentheses and blanks. Stops at anything else, and at a token that may go on after the text.
    /// `strings` is [`Strings::Standard`].
    ///
    /// A statement can have millions of values, and reading each as a [`Token`] takes longer than
    /// the server does in a build without optimisation.
    pub(crate) fn follow_values(&mut self, text: &str, start: usize) -> Values {
        let bytes = text.as_bytes();
        let (mut at, mut end, mut settled) = (start, start, None);
        loop {
            at += match bytes.get(at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => {
                    at += 1;
                    continue;
                }
                Some(b',') => 1,
                Some(b'(') => {
                    self.parentheses += 1;
                    1
                }
                Some(b')') => {
                    self.parentheses = self.parentheses.saturating_sub(1);
                    1
                }
                Some(b'\'') => {
                    let len = quote_len(&text[at..], 0);
                    if at + len >= bytes.len() {
                        break;
                    }
                    len
                }
                Some(b'0'..=b'9') => {
                    let mut len = 1;
                    while let Some(b'0'..=b'9' | b'.') = bytes.get(at + len) {
                        len += 1;
                    }
                    let follows = bytes.get(at + len);
                    if !follows.is_some_and(|next| b" \t\n\r,()';".contains(next)) {
                        break;
                    }
                    len
                }
                _ => break,
            };
            if matches!(bytes[at - 1], b',' | b'(' | b')') {
                settled = Some((at, *self));
            }
            end = at;
        }
        Values { end, settled }
    }
}

impl Head {
    fn followed_by(self, word: &str) -> Self {
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        match self {
            Self::Empty if is("create") => Self::Create,
            Self::Create if is("or") => Self::CreateOr,
            Self::CreateOr if is("replace") => Self::CreateOrReplace,
            Self::Create | Self::CreateOrReplace if is("function") || is("procedure") => {
                Self::Routine
            }
            Self::Routine => Self::Routine,
            _ => Self::Other,
        }
    }
}

/// The token that `text` starts with, and its length. A quote without an end takes the rest.
fn first_token(text: &str, strings: Strings) -> Option<(Token<'_>, usize)> {
    let first = text.chars().next()?;
    let literal = |len: usize| Some((Token::Literal(&text[..len]), len));
    let string_len = |open: usize| match strings {
        Strings::Standard => quote_len(text, open),
        Strings::Escaped => escape_string_len(text, open),
    };
    match *text.as_bytes() {
        [b'\'', ..] => literal(string_len(0)),
        [b'n' | b'N', b'\'', ..] => literal(string_len(1)),
        [b'b' | b'B' | b'x' | b'X', b'\'', ..] => literal(quote_len(text, 1)),
        [b'u' | b'U', b'&', b'\'' | b'"', ..] => literal(quote_len(text, 2)),
        [b'e' | b'E', b'\'', ..] => literal(escape_string_len(text, 1)),
        [b'"', ..] => {
            let len = quote_len(text, 0);
            let inner = &text[1..len];
            Some((
                Token::Quoted(
                    inner
                        .strip_suffix('"')
                        .unwrap_or(inner)
                        .replace("\"\"", "\""),
                ),
                len,
            ))
        }
        [b'/', b'*', ..] => literal(text.len()),
        [b'$', ..] => match dollar_len(text) {
            Some(len) => literal(len),
            None => Some((Token::Symbol('$'), 1)),
        },
        [b'0'..=b'9', ..] => literal(prefix_len(text, |c| {
            c.is_ascii_alphanumeric() || matches!(c, '_' | '.')
        })),
        _ if starts_word(first) => {
            let len = prefix_len(text, |c| starts_word(c) || c.is_ascii_digit() || c == '$');
            Some((Token::Word(&text[..len]), len))
        }
        _ => Some((Token::Symbol(first), first.len_utf8())),
    }
}

/// The text between the quotes of a string, and the byte at which that text starts.
pub(crate) fn string_content(literal: &str) -> Option<(usize, &str)> {
    let (open, close) = if let Some(tagged) = literal.strip_prefix('$') {
        let tag = tagged.find('$')? + 2;
        (tag, tag)
    } else {
        (literal.find('\'')? + 1, 1)
    };
    // An open quote includes the rest of the text.
    Some((
        open,
        literal
            .get(open..literal.len().checked_sub(close)?)
            .unwrap_or_default(),
    ))
}

/// The length of the blanks and comments at the start.
fn blank_len(text: &str) -> usize {
    let mut len = 0;
    loop {
        len += space_len(&text[len..]);
        match block_comment_len(&text[len..]) {
            Some(comment) => len += comment,
            None => return len,
        }
    }
}

/// The length of the blanks and line comments at the start.
fn space_len(text: &str) -> usize {
    let mut len = 0;
    loop {
        len += prefix_len(&text[len..], |c| {
            matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
        });
        if !text[len..].starts_with("--") {
            return len;
        }
        len += prefix_len(&text[len..], |c| !matches!(c, '\n' | '\r'));
    }
}

/// The length of the block comment at the start, if there is one and it ends.
fn block_comment_len(text: &str) -> Option<usize> {
    let mut at = text.starts_with("/*").then_some(2)?;
    let mut depth = 1_usize;
    while depth > 0 {
        match text.as_bytes().get(at..at + 2)? {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    Some(at)
}

/// The length up to the end of the quote that opens at `open`. A doubled quote stands for one.
fn quote_len(text: &str, open: usize) -> usize {
    let (quote, mut at) = (char::from(text.as_bytes()[open]), open + 1);
    while let Some(found) = text[at..].find(quote) {
        at += found + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    text.len()
}

/// The length of `E'...'` with its continuations. The first quote is at `open`.
///
/// The server reads `E'a'`, a line break and `'b\''` as one escape string.
fn escape_string_len(text: &str, open: usize) -> usize {
    let (bytes, mut at) = (text.as_bytes(), open + 1);
    while let Some(byte) = bytes.get(at) {
        at += match (byte, bytes.get(at + 1)) {
            (b'\\', _) | (b'\'', Some(b'\'')) => 2,
            (b'\'', _) => {
                let gap = space_len(&text[at + 1..]);
                let next = at + 1 + gap;
                if bytes.get(next) != Some(&b'\'') || !text[at + 1..next].contains(['\n', '\r']) {
                    return at + 1;
                }
                gap + 2
            }
            _ => 1,
        };
    }
    text.len()
}

/// The length of the dollar quote or the parameter at the start, if it is one.
fn dollar_len(text: &str) -> Option<usize> {
    let digits = prefix_len(&text[1..], |c| c.is_ascii_digit());
    if digits > 0 {
        return Some(1 + digits);
    }
    let tag = prefix_len(&text[1..], |c| starts_word(c) || c.is_ascii_digit());
    let delimiter = text
        .get(..tag + 2)
        .filter(|delimiter| delimiter.ends_with('$'))?;
    Some(
        text[delimiter.len()..]
            .find(delimiter)
            .map_or(text.len(), |body| body + 2 * delimiter.len()),
    )
}

fn prefix_len(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// PostgreSQL's lexer treats every character outside ASCII as a letter.
fn starts_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}
