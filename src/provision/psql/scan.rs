//! Finds where psql ends a statement, and where it reads a command of its own.
//!
//! The rules are those of psql's two lexers, `psqlscan.l` and `psqlscanslash.l`, and its manual:
//! <https://www.postgresql.org/docs/current/app-psql.html>

use std::collections::BTreeSet;

use super::variables;
use crate::lexer::{Nesting, Strings, Token, Tokens};

/// Commands whose argument is the rest of the line, with backslashes and quotes.
const WHOLE_LINE: [&str; 9] = ["!", "copy", "ef", "ev", "h", "help", "sf", "sf+", "sv"];

/// What psql reads as one unit. All numbers are bytes of the scanned text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::provision) enum Found {
    Statement(Span),
    /// A command from its backslash on, without its line's end. The statement before it has no
    /// semicolon: `select 1 \g`.
    Command {
        command: Span,
        open: Option<Span>,
    },
    /// `:name`, and psql would replace it, because the variable has a value.
    Variable(Span),
}

/// A part of the scanned text, and where the scan goes on after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::provision) struct Span {
    pub(in crate::provision) start: usize,
    pub(in crate::provision) end: usize,
    pub(in crate::provision) next: usize,
    /// Whether a word `CONFLICT` is in it, outside of quotes.
    pub(in crate::provision) has_conflict: bool,
    /// Whether it contains `\;` or `\:`, which psql sends without the backslash.
    pub(in crate::provision) has_escape: bool,
}

/// The state of a scan. If a text is incomplete, the scan goes on once more of the text is there.
#[derive(Debug, Clone, Default)]
pub(in crate::provision) struct Scan {
    pub(in crate::provision) strings: Strings,
    /// The variables that the file has set; `None` if variables are not searched for.
    pub(in crate::provision) variables: Option<BTreeSet<String>>,
    settled: State,
}

/// What is known up to a byte, whatever follows.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    at: usize,
    nesting: Nesting,
    /// The statement that is not complete yet.
    open: Option<Span>,
}

impl Scan {
    /// The next unit. `None` if the text ends before it does; at the end of the file, after the
    /// last.
    pub(in crate::provision) fn find(&mut self, text: &str, is_eof: bool) -> Option<Found> {
        let mut state = self.settled;
        let mut tokens = Tokens::from(text, state.at, self.strings);
        loop {
            if let Some(open) = &mut state.open
                && self.strings == Strings::Standard
            {
                let values = state.nesting.follow_values(text, tokens.end);
                if let Some((at, nesting)) = values.settled {
                    let open = Some(Span {
                        end: at,
                        next: at,
                        ..*open
                    });
                    self.settled = State { at, nesting, open };
                }
                if values.end > tokens.end {
                    (open.end, open.next) = (values.end, values.end);
                    (state.at, tokens.end) = (values.end, values.end);
                }
            }
            let Some(token) = tokens.next() else {
                break;
            };
            let (start, end) = (tokens.start, tokens.end);
            let mut open = Span {
                end,
                next: end,
                ..state.open.unwrap_or(Span {
                    start,
                    ..Span::default()
                })
            };
            match token {
                Token::Symbol(';') if state.nesting.is_top_level() => {
                    let ended = state.open;
                    state = State::at(end);
                    self.settled = state;
                    if let Some(statement) = ended {
                        return Some(Found::Statement(Span {
                            next: end,
                            ..statement
                        }));
                    }
                    continue;
                }
                Token::Symbol('\\') => {
                    if !text[end..].starts_with([';', ':']) {
                        let command = command_at(text, start, is_eof)?;
                        self.settled = State::at(command.next);
                        let open = state.open;
                        return Some(Found::Command { command, open });
                    }
                    tokens.end += 1;
                    open.end = tokens.end;
                    open.has_escape = true;
                }
                // psql reads two colons as a cast. A third one may begin a variable.
                Token::Symbol(':') if colons_before(text, start).is_multiple_of(2) => {
                    if let Some(set) = &self.variables
                        && let Some(end) = variable_end(text, end, is_eof, set)?
                    {
                        let variable = Span {
                            start,
                            end,
                            next: end,
                            ..Span::default()
                        };
                        return Some(Found::Variable(variable));
                    }
                }
                Token::Word(word) => {
                    open.has_conflict |= word.eq_ignore_ascii_case("conflict");
                }
                _ => {}
            }
            state.nesting.follow(&token);
            state.open = Some(open);
            state.at = tokens.end;
            // No text that follows changes the tokens up to here. After a quote or a word it could:
            // `E'a'` goes on in the next line, and `$a` may begin a dollar quote.
            if matches!(token, Token::Symbol(',' | '(' | ')')) {
                self.settled = state;
            }
        }
        if !is_eof {
            return None;
        }
        self.settled = State::at(text.len());
        let last = state.open?;
        Some(Found::Statement(Span {
            next: text.len(),
            ..last
        }))
    }

    /// Goes on at this byte, with a new statement.
    pub(in crate::provision) fn restart_at(&mut self, at: usize) {
        self.settled = State::at(at);
    }

    /// The scanned text has lost this many bytes at its start. They must be scanned.
    pub(in crate::provision) fn forget(&mut self, bytes: usize) {
        self.settled.at -= bytes;
        if let Some(open) = &mut self.settled.open {
            open.start -= bytes;
            open.end -= bytes;
            open.next -= bytes;
        }
    }

    /// The byte of the text up to which it is needed no more.
    pub(in crate::provision) fn needed_from(&self) -> usize {
        self.settled.open.map_or(self.settled.at, |open| open.start)
    }
}

impl State {
    fn at(at: usize) -> Self {
        Self {
            at,
            ..Self::default()
        }
    }
}

/// The number of colons that end right before this byte.
fn colons_before(text: &str, at: usize) -> usize {
    let colons = text[..at].bytes().rev();
    colons.take_while(|byte| *byte == b':').count()
}

/// The end of a variable's name after a colon, if psql replaces it, because it is predefined or in
/// `set`. The outer `None` means that the text ends within the name.
#[expect(clippy::option_option, reason = "the outer option is for `?`")]
fn variable_end(
    text: &str,
    after: usize,
    is_eof: bool,
    set: &BTreeSet<String>,
) -> Option<Option<usize>> {
    let rest = &text[after..];
    let quotes = usize::from(rest.starts_with(['\'', '"']));
    let marker = if rest.starts_with("{?") { 2 } else { 0 };
    let name_start = quotes + marker;
    let belongs = |c: char| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii();
    let length = rest[name_start..].find(|c| !belongs(c));
    let length = length.or(is_eof.then_some(rest.len() - name_start))?;
    let name = &rest[name_start..name_start + length];
    let is_set =
        !name.is_empty() && (marker > 0 || variables::is_predefined(name) || set.contains(name));
    Some(is_set.then_some(after + name_start + length))
}

/// The command whose backslash is at `start`; `None` if its line is incomplete.
///
/// An unquoted backslash ends it: the next command begins there, or SQL goes on after `\\`.
fn command_at(text: &str, start: usize, is_eof: bool) -> Option<Span> {
    let line_end = match text[start..].find('\n') {
        Some(length) => start + length,
        None if is_eof => text.len(),
        None => return None,
    };
    let line = &text[start + 1..line_end];
    let name_length = line.find(|c: char| c.is_ascii_whitespace() || c == '\\');
    let name_length = name_length.unwrap_or(line.len());
    let mut end = line_end;
    let mut next = line_end;
    if !WHOLE_LINE.contains(&&line[..name_length]) {
        let mut quote = None;
        let mut bytes = line.bytes().enumerate().skip(name_length);
        while let Some((at, byte)) = bytes.next() {
            match (quote, byte) {
                (Some(b'\''), b'\\') => drop(bytes.next()),
                (Some(open), _) if open == byte => quote = None,
                (None, b'\'' | b'"' | b'`') => quote = Some(byte),
                (None, b'\\') => {
                    end = start + 1 + at;
                    next = end + if line[at..].starts_with("\\\\") { 2 } else { 0 };
                    break;
                }
                _ => {}
            }
        }
    }
    Some(Span {
        start,
        end,
        next,
        ..Span::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The units of a text, and the same if the text arrives byte by byte.
    fn units(text: &str) -> Vec<String> {
        let mut scan = Scan::default();
        let mut units = Vec::new();
        for (end, _) in text.char_indices().skip(1) {
            while let Some(found) = scan.find(&text[..end], false) {
                units.push(unit(text, &found));
            }
        }
        while let Some(found) = scan.find(text, true) {
            units.push(unit(text, &found));
        }
        let (mut whole, mut scan) = (Vec::new(), Scan::default());
        while let Some(found) = scan.find(text, true) {
            whole.push(unit(text, &found));
        }
        assert_eq!(units, whole);
        units
    }

    fn unit(text: &str, found: &Found) -> String {
        let part = |span: &Span| &text[span.start..span.end];
        match found {
            Found::Statement(span) => part(span).to_owned(),
            Found::Command { command, open } => {
                let open = open.as_ref().map(|open| format!("{} ", part(open)));
                format!("{}{}", open.unwrap_or_default(), part(command))
            }
            Found::Variable(span) => format!("variable {}", part(span)),
        }
    }

    #[test]
    fn a_text_that_arrives_in_parts_has_the_same_units() {
        let text = "-- a; b\n select 1; select 'a;''b', E'\\';' ; select $t$ ; $t$; /* ; */ select \
                    \"a;b\", E'a'\n 'b\\';'; insert into t values ((1), ($bod$;$bod$)); \
                    create function f() returns int begin atomic select case when true then 1 end; \
                    end; select U&'a;' 'b';\n\\restrict a'b\nselect :x, a[1:2], 1::int \\; select 2";
        let units = units(text);
        assert_eq!(units.len(), 9, "{units:#?}");
        assert_eq!(units[7], "\\restrict a'b");
        assert_eq!(units[8], "select :x, a[1:2], 1::int \\; select 2");
    }

    /// [`Nesting::follow_values`] steps over the same tokens as [`Tokens`].
    #[test]
    fn values_have_the_same_units_in_parts_and_the_same_nesting() {
        let text = "insert into t values (1, 'a;''b', ('c'), -2.5, .5, 1e5, 1a, null),\n ( 2 , \
                    'd' 'e', E'f\\'' , $$;$$ , N'g', 3::int) , ('h\n;')  ;\n(select 1, (2) ) ; \
                    values ('x') on conflict;";
        assert_eq!(units(text).len(), 3);
        assert!(units(text)[0].ends_with("('h\n;')"));
        for at in 0..text.len() {
            let mut nesting = Nesting::default();
            let end = nesting.follow_values(text, at).end;
            let mut expected = Nesting::default();
            let mut tokens = Tokens::from(&text[..end], at, Strings::Standard);
            for token in &mut tokens {
                assert!(
                    matches!(token, Token::Symbol(',' | '(' | ')') | Token::Literal(_)),
                    "{token:?}"
                );
                expected.follow(&token);
            }
            assert_eq!(format!("{nesting:?}"), format!("{expected:?}"), "{at}");
            assert_eq!(tokens.end.max(at), end.max(at), "{at}");
        }
    }

    #[test]
    fn a_command_ends_with_its_line_or_at_the_next_backslash() {
        for (text, expected) in [
            ("\\echo a; b\nselect 1", &["\\echo a; b", "select 1"][..]),
            ("\\timing \\echo b\n", &["\\timing ", "\\echo b"]),
            (
                "\\echo 'a\\\\b' \\\\ select 1;",
                &["\\echo 'a\\\\b' ", "select 1"],
            ),
            ("\\copy t from 'a\\b'\n;", &["\\copy t from 'a\\b'"]),
            ("select 1 \\g\n", &["select 1 \\g"]),
            ("select 1\\gx\n;;", &["select 1 \\gx"]),
            ("\\q", &["\\q"]),
        ] {
            assert_eq!(units(text), expected, "{text}");
        }
    }

    #[test]
    fn a_variable_with_a_value_is_found_outside_of_quotes() {
        let mut scan = Scan {
            variables: Some(BTreeSet::from(["own".to_owned()])),
            ..Scan::default()
        };
        let mut find = |text: &str| {
            scan.restart_at(0);
            scan.find(text, true).map(|found| unit(text, &found))
        };
        for text in [":own", ":'own'", ":\"own\"", ":DBNAME", ":{?any}"] {
            let sql = format!("select {text}, 1");
            let end = text.trim_end_matches(['\'', '"', '}']);
            assert_eq!(find(&sql), Some(format!("variable {end}")));
        }
        for text in [
            "':own'",
            "a[1:own2]",
            "x::own",
            "$$:own$$",
            "\\:own",
            ": own",
            ":=",
        ] {
            let sql = format!("select {text}, 1");
            assert_eq!(find(&sql), Some(sql.clone()));
        }
    }

    #[test]
    fn a_backslash_in_a_string_is_an_escape_if_the_setting_is_off() {
        let text = "select 'it\\';', n'\\';', b'\\'; select 2";
        let mut scan = Scan {
            strings: Strings::Escaped,
            ..Scan::default()
        };
        let Some(Found::Statement(first)) = scan.find(text, true) else {
            panic!("a statement");
        };
        assert_eq!(
            &text[first.start..first.end],
            "select 'it\\';', n'\\';', b'\\'"
        );
    }
}
