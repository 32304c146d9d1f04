//! A SQL script cut into its top-level statements, each with its place in the file.
//!
//! Where a statement ends follows psql (`psqlscan.l`). psql's backslash commands and the data of `COPY ... FROM stdin` are not SQL and not understood.

use std::fmt::Write as _;

use crate::lexer::{Nesting, Token, Tokens};

/// Characters of a line that an excerpt shows.
const WINDOW: usize = 160;

/// A script and the name it is reported under. Offsets are bytes into [`Script::text`].
#[derive(Debug, Clone)]
pub(crate) struct Script {
    name: String,
    text: String,
}

/// A place in a script as editors count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Counted from 1.
    pub(crate) line: usize,
    /// In characters, counted from 1.
    pub(crate) column: usize,
}

impl Script {
    /// A script shown as `name`, usually its path. A byte order mark is left out: the server rejects it.
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Self {
            name: name.into(),
            text,
        }
    }

    /// A part of a script, taken as it is.
    pub(crate) fn part(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// The name it is reported under.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The SQL that all offsets and positions refer to.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The top-level statements in order; what holds only blanks and comments is none.
    pub(crate) fn statements(&self) -> Vec<Statement<'_>> {
        let Cut {
            mut ended, open, ..
        } = self.cut();
        ended.extend(open);
        ended
    }

    /// The bytes up to and with the semicolon that ends the last statement. Whatever may follow the text, these hold whole
    /// statements: what opens a quote, a comment or a body before the end of the text takes all semicolons after it.
    pub(crate) fn ended_len(&self) -> usize {
        self.cut().ended_len
    }

    fn cut(&self) -> Cut<'_> {
        let (mut ended, mut ended_len) = (Vec::new(), 0);
        let mut tokens = Tokens::new(&self.text);
        let mut nesting = Nesting::default();
        let mut span: Option<(usize, usize)> = None;
        let cut = |(start, end)| Statement {
            text: &self.text[start..end],
            offset: start,
        };
        while let Some(token) = tokens.next() {
            if token == Token::Symbol(';') && nesting.is_top_level() {
                ended.extend(span.take().map(cut));
                ended_len = tokens.end;
                nesting = Nesting::default();
            } else {
                nesting.follow(&token);
                span = Some((span.map_or(tokens.start, |(start, _)| start), tokens.end));
            }
        }
        Cut {
            ended,
            ended_len,
            open: span.map(cut),
        }
    }

    /// Line and column of a byte; an offset past the end means the end.
    pub(crate) fn position_of_byte(&self, offset: usize) -> Position {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The byte of a character counted from 1, as the error field `P` counts
    /// (<https://www.postgresql.org/docs/current/protocol-error-fields.html>), when the text from `start` was the query.
    pub(crate) fn byte_of_char(&self, start: usize, position: usize) -> usize {
        let sent = &self.text[start..];
        start
            + sent
                .char_indices()
                .nth(position.saturating_sub(1))
                .map_or(sent.len(), |(at, _)| at)
    }

    /// The report on a byte: `name:line:column`, the line before unless it is blank, the line, and a caret below it.
    pub(crate) fn excerpt(&self, offset: usize) -> String {
        let Position { line, column } = self.position_of_byte(offset);
        let mut lines = self.text.lines().skip(line.saturating_sub(2));
        let previous = if line > 1 {
            lines.next().unwrap_or_default()
        } else {
            ""
        };
        let (shown, caret) = window(lines.next().unwrap_or_default(), column - 1);
        let padding: String = shown.chars().take(caret).map(padding).collect();

        let width = line.to_string().len();
        let mut report = format!("{}:{line}:{column}", self.name);
        let mut row = |number: &str, text: &str| {
            let row = format!(" {number:>width$} | {text}");
            write!(report, "\n{}", row.trim_end()).expect("writing to a String cannot fail");
        };
        if !previous.trim().is_empty() {
            row(&(line - 1).to_string(), &window(previous, 0).0);
        }
        row(&line.to_string(), &shown);
        row("", &format!("{padding}^"));
        report
    }
}

/// A script's statements.
struct Cut<'a> {
    ended: Vec<Statement<'a>>,
    ended_len: usize,
    /// The last one, without a semicolon.
    open: Option<Statement<'a>>,
}

/// One statement, from its first token to its last: no comments around it, no closing semicolon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statement<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Statement<'a> {
    /// The SQL of this statement.
    pub(crate) fn text(self) -> &'a str {
        self.text
    }

    /// The byte in the script at which it starts.
    pub(crate) fn offset(self) -> usize {
        self.offset
    }

    /// Its tokens without comments.
    pub(crate) fn tokens(self) -> Tokens<'a> {
        Tokens::new(self.text)
    }

    /// Whether it starts with these keywords, in any case.
    pub(crate) fn starts_with(self, keywords: &[&str]) -> bool {
        let mut tokens = self.tokens();
        keywords
            .iter()
            .all(|keyword| tokens.next().is_some_and(|token| token.is_word(keyword)))
    }
}

/// The part of a line to show around the character `focus`, and where `focus` lies in it, both counted from 0.
fn window(line: &str, focus: usize) -> (String, usize) {
    // Control characters would move the cursor of the terminal that shows the report.
    let mut chars: Vec<char> = line
        .chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect();
    let focus = focus.min(chars.len());
    if chars.len() <= WINDOW {
        return (chars.into_iter().collect(), focus);
    }
    let start = focus.saturating_sub(WINDOW / 2).min(chars.len() - WINDOW);
    let end = start + WINDOW;
    if start > 0 {
        chars[start] = '…';
    }
    if end < chars.len() {
        chars[end - 1] = '…';
    }
    (chars[start..end].iter().collect(), focus - start)
}

/// Blanks as wide as a character: tabs stay tabs, emoji and East Asian characters mostly take two columns.
fn padding(c: char) -> &'static str {
    match c {
        '\t' => "\t",
        '\u{300}'..='\u{36f}' | '\u{200d}' | '\u{fe0f}' => "",
        '\u{2e80}'..='\u{d7a3}' | '\u{ff00}'..='\u{ff60}' | '\u{1f300}'..='\u{1faff}' => "  ",
        _ => " ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        Script::new("x.sql", text)
            .statements()
            .iter()
            .map(|statement| statement.text().to_owned())
            .collect()
    }

    /// Asserts that `text` is one statement although a semicolon lies inside, and that the next one is found.
    fn stays_whole(text: &str) {
        assert_eq!(split(&format!("{text};\nselect 2;")), [text, "select 2"]);
    }

    #[test]
    fn statements_are_trimmed_and_know_where_they_start() {
        let script = Script::new(
            "x.sql",
            "-- first\n/* c */ select 1 -- tail\n ;; ;\r\n  select 2 ; -- end",
        );
        let found: Vec<_> = script
            .statements()
            .iter()
            .map(|found| (found.text(), found.offset()))
            .collect();
        assert_eq!(found, [("select 1", 17), ("select 2", 43)]);
        assert!(
            found
                .iter()
                .all(|(text, offset)| script.text()[*offset..].starts_with(text))
        );
    }

    #[test]
    fn nothing_but_blanks_and_comments_is_no_statement() {
        for text in [
            "",
            "\u{feff}",
            " \t\r\n\u{b}\u{c}",
            ";;;",
            "-- a;",
            "/* a; */",
            "-- a\r\n/* b */;\n--",
        ] {
            assert!(split(text).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn whatever_follows_what_has_ended_stays_whole() {
        let texts = [
            "select 1; -- a; b\n select 'a;''b', E'\\';' ; select $t$ ; $t$; /* ; */ select \"a;b\"; select 2",
            "create rule r as on insert to t do (delete from a; delete from b); select 1",
            "create function f() returns int begin atomic select case when true then 1 end; end; select U&'a;' 'b';\n",
        ];
        for text in texts {
            let whole: Vec<String> = split(text);
            for (at, _) in text.char_indices() {
                let (ended, rest) = text.split_at(Script::new("x.sql", &text[..at]).ended_len());
                assert_eq!(
                    [split(ended), split(rest)].concat(),
                    whole,
                    "{at}: {ended}|{rest}"
                );
            }
        }
    }

    #[test]
    fn a_byte_order_mark_counts_nowhere() {
        let script = Script::new("x.sql", "\u{feff}select 1");
        assert_eq!(
            (script.text(), script.statements()[0].offset()),
            ("select 1", 0)
        );
    }

    #[test]
    fn semicolons_in_quotes_do_not_split() {
        for text in [
            r"select 'it''s; \', 1",
            r"select E'it\'s; \\', e'a''b;'",
            "select E'a' -- c\r\n 'b\\';'",
            r#"select "a"";b", U&"d\0061;""t""#,
            "select U&'a;\\', B'0;', x'1;', N'a;'",
            "select $$a; $b$ '$$, $t$ $$; $T$ $t$, $ü1$;$ü1$",
            "select 1$$;$$, $1$$;$$",
        ] {
            stays_whole(text);
        }
    }

    #[test]
    fn a_letter_before_a_quote_counts_only_as_a_word_of_its_own() {
        assert_eq!(
            split(r"select typE'\'; select 2"),
            [r"select typE'\'", "select 2"]
        );
        assert_eq!(
            split("select E'a' 'b\\'; select 2").len(),
            2,
            "a continuation needs a line break"
        );
    }

    #[test]
    fn a_dollar_in_a_word_or_before_a_digit_opens_no_quote() {
        assert_eq!(
            split("select a$b$c; select $1; select $2 $ 3"),
            ["select a$b$c", "select $1", "select $2 $ 3"]
        );
    }

    #[test]
    fn comments_nest_and_hide_quotes_and_semicolons() {
        stays_whole("select /* ' ; /* $$ */ ; */ 1 -- it's; \r\n + 2");
        assert_eq!(split("select 1 +-- a;\r2; select 3 */* ; */ 4").len(), 2);
        assert_eq!(split("select 1 /*/ ; /**/ ; */; select 2").len(), 2);
    }

    #[test]
    fn parentheses_hold_semicolons() {
        stays_whole(
            "create rule r as on insert to t do also (delete from a; (select ')'); delete from b)",
        );
        assert_eq!(split("select 1); select 2").len(), 2);
    }

    #[test]
    fn a_body_in_standard_sql_holds_semicolons() {
        let body =
            "begin atomic select case when true then (case when 1=1 then 2 end) end; select 3; END";
        stays_whole(&format!("create function f() returns int {body}"));
        stays_whole(&format!(
            "CREATE /* c */ OR REPLACE procedure p(\"end\" int) {body}"
        ));
        stays_whole("create function f() returns int language sql as $$ begin; $$");
    }

    #[test]
    fn begin_means_nothing_outside_of_routines() {
        assert_eq!(
            split(
                "begin; select case when a then b end; end; create table begin (a int); select 1"
            )
            .len(),
            5
        );
        assert_eq!(split("create or drop function begin; select 1").len(), 2);
    }

    #[test]
    fn what_never_ends_takes_the_rest() {
        for open in [
            "'", "E'\\'", "\"", "U&\"", "$$", "$a$ $$", "B'", "(", "/* /* */",
        ] {
            let rest = format!("select {open} a; b");
            assert_eq!(
                split(&format!("select 1; {rest}")),
                ["select 1", &rest],
                "{open}"
            );
        }
        assert_eq!(split("/* select 1; "), ["/* select 1; "]);
        assert_eq!(split("select E'\\").len(), 1);
    }

    #[test]
    fn tokens_tell_words_names_and_literals_apart() {
        let text = r#"Select a$1,"A""b" /* c */ .ü U&"d\0061t" 1.5e3 $$x$$ <'y'$1"#;
        let shown: Vec<_> = Tokens::new(text)
            .map(|token| format!("{token:?}"))
            .collect();
        assert_eq!(
            shown.join(" "),
            r#"Word("Select") Word("a$1") Symbol(',') Quoted("A\"b") Symbol('.') Word("ü") Literal("U&\"d\\0061t\"") "#
                .to_owned()
                + r#"Literal("1.5e3") Literal("$$x$$") Symbol('<') Literal("'y'") Literal("$1")"#
        );
    }

    #[test]
    fn keywords_match_in_any_case_and_only_as_whole_words() {
        let script = Script::new("x.sql", "Insert /* c */\nINTO t values (1)");
        let statement = script.statements()[0];
        assert!(statement.starts_with(&["insert", "into"]) && statement.starts_with(&[]));
        assert!(!statement.starts_with(&["insert", "int"]) && !statement.starts_with(&["into"]));
    }

    #[test]
    fn characters_of_the_server_become_bytes_lines_and_columns() {
        let script = Script::new("x.sql", "select 1;\r\nselect '🦀', 日本 frm\r\n");
        let byte = script.byte_of_char(0, 27);
        assert!(script.text()[byte..].starts_with("frm"));
        assert_eq!(
            script.position_of_byte(byte),
            Position {
                line: 2,
                column: 16
            }
        );
        assert_eq!(
            [0, 1, 999].map(|at| script.byte_of_char(0, at)),
            [0, 0, script.text().len()]
        );
        assert_eq!(
            script.position_of_byte(usize::MAX),
            Position { line: 3, column: 1 }
        );
        let inside = script.text().find('🦀').expect("a crab") + 2;
        assert_eq!(
            script.position_of_byte(inside),
            Position { line: 2, column: 9 }
        );
        assert!(
            script
                .excerpt(byte)
                .ends_with("\n 2 | select '🦀', 日本 frm\n   |                   ^")
        );
    }

    #[test]
    fn an_excerpt_shows_the_line_before_and_a_caret() {
        let script = Script::new(
            "migrations/002_x.up.sql",
            "create table x (\r\n\tid\tbigit primary key\r\n);",
        );
        let report = "migrations/002_x.up.sql:2:5\n 1 | create table x (\n 2 | \tid\tbigit primary key\n   | \t  \t^";
        assert_eq!(script.excerpt(script.byte_of_char(0, 23)), report);
        assert_eq!(
            script.excerpt(0),
            "migrations/002_x.up.sql:1:1\n 1 | create table x (\n   | ^"
        );
    }

    #[test]
    fn an_excerpt_exists_at_every_edge() {
        assert_eq!(
            Script::new("x.sql", "").excerpt(5),
            "x.sql:1:1\n 1 |\n   | ^"
        );
        assert_eq!(
            Script::new("x.sql", "select\n").excerpt(7),
            "x.sql:2:1\n 1 | select\n 2 |\n   | ^"
        );
        let ten = format!("{}a\u{1b}b", "\n".repeat(9));
        assert_eq!(
            Script::new("x.sql", ten).excerpt(99),
            "x.sql:10:4\n 10 | a\u{fffd}b\n    |    ^"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}X{}", "é".repeat(500), "z".repeat(500));
        for at in [0, 500, 1000, 1500] {
            let script = Script::new("x.sql", &*line);
            let report = script.excerpt(at);
            let rows: Vec<_> = report
                .lines()
                .map(|row| row.chars().skip(5).collect::<Vec<_>>())
                .collect();
            let caret = rows[2].len() - 1;
            assert_eq!(rows[1].len(), WINDOW);
            assert_eq!(
                rows[1].get(caret).copied(),
                script.text()[at..].chars().next()
            );
            assert_eq!(
                (rows[1][0] == '…', rows[1][WINDOW - 1] == '…'),
                (at > 160, at < 1300)
            );
        }
    }
}
