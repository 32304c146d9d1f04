//! A SQL script, split into its top-level statements, each with its position in the file.
//!
//! The rules for the end of a statement are those of psql. Its backslash commands and the data of
//! `COPY .. FROM stdin` are not statements, and are left out.

use super::psql::scan::{Found, Scan};
use super::psql::statement::is_copy_in;
use crate::excerpt::{Position, excerpt};
use crate::lexer::Tokens;

/// A script and its name for reports. Offsets are bytes of [`Script::text`].
#[derive(Debug, Clone)]
pub(crate) struct Script {
    name: String,
    text: String,
}

impl Script {
    /// A script. Reports print `name`, usually the script's path. A byte order mark is removed: the
    /// server rejects it.
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

    /// A part of a script. Unlike in `new`, nothing is removed.
    pub(crate) fn part(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// The name for reports.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The SQL that all offsets and positions refer to.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The top-level statements in order. Text of blanks and comments alone is not a statement.
    pub(crate) fn statements(&self) -> Vec<Statement<'_>> {
        let (mut statements, mut scan) = (Vec::new(), Scan::default());
        while let Some(found) = scan.find(&self.text, true) {
            let found = match found {
                Found::Statement(statement)
                | Found::Command {
                    open: Some(statement),
                    ..
                } => statement,
                Found::Command { open: None, .. } | Found::Variable(_) => continue,
            };
            let text = &self.text[found.start..found.end];
            let offset = found.start;
            statements.push(Statement { text, offset });
            if is_copy_in(text) {
                scan.restart_at(self.data_end(found.next));
            }
        }
        statements
    }

    /// The byte after the line `\.` that ends the data of a COPY, whose semicolon is before `at`.
    fn data_end(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        let mut end = at + rest.find('\n').map_or(rest.len(), |line_end| line_end + 1);
        for line in self.text[end..].split_inclusive('\n') {
            end += line.len();
            if line.trim_end() == "\\." {
                break;
            }
        }
        end
    }

    /// The line and column of a byte. An offset past the end means the end.
    pub(crate) fn position_of_byte(&self, offset: usize) -> Position {
        Position::of_byte(&self.text, offset)
    }

    /// The place of a byte for messages: `name:line:column`.
    pub(crate) fn place(&self, offset: usize) -> String {
        let Position { line, column } = self.position_of_byte(offset);
        format!("{}:{line}:{column}", self.name())
    }

    /// The byte of an error's position, if the text from `start` was sent as the query. The server
    /// counts positions in characters, from 1 (field `P`:
    /// <https://www.postgresql.org/docs/current/protocol-error-fields.html>).
    pub(crate) fn byte_of_char(&self, start: usize, position: usize) -> usize {
        let sent = &self.text[start..];
        start
            + sent
                .char_indices()
                .nth(position.saturating_sub(1))
                .map_or(sent.len(), |(at, _)| at)
    }

    /// The lines around a byte, for errors: `name:line:column`, the previous line unless it is
    /// blank, the line itself, and a caret below the byte.
    pub(crate) fn excerpt(&self, offset: usize) -> String {
        excerpt(&self.name, &self.text, offset)
    }
}

/// One statement, from its first token to its last, without surrounding comments and the final
/// semicolon.
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

    /// The byte of the script at which it starts.
    pub(crate) fn offset(self) -> usize {
        self.offset
    }

    /// Its tokens, without comments.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(text: &str) -> Vec<String> {
        Script::new("x.sql", text)
            .statements()
            .iter()
            .map(|statement| statement.text().to_owned())
            .collect()
    }

    /// Asserts that `text` is one statement although it contains a semicolon, and that the next
    /// statement is found.
    fn assert_one_statement(text: &str) {
        assert_eq!(
            statements(&format!("{text};\nselect 2;")),
            [text, "select 2"]
        );
    }

    #[test]
    fn statements_are_trimmed_and_have_their_offset() {
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
    fn blanks_and_comments_alone_are_no_statement() {
        for text in [
            "",
            "\u{feff}",
            " \t\r\n\u{b}\u{c}",
            ";;;",
            "-- a;",
            "/* a; */",
            "-- a\r\n/* b */;\n--",
        ] {
            assert!(statements(text).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn commands_of_psql_and_the_data_of_a_copy_are_no_statements() {
        let text =
            "\\restrict it's\nselect 1;\ncopy t from stdin;\nit's; 1\n\\.\nselect 2 \\g\nselect 3";
        let expected = ["select 1", "copy t from stdin", "select 2", "select 3"];
        assert_eq!(statements(text), expected);
        assert_eq!(statements("copy t from stdin;\n1;2").len(), 1);
        assert_eq!(statements("copy t from stdin").len(), 1);
    }

    #[test]
    fn a_byte_order_mark_changes_no_offset() {
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
            assert_one_statement(text);
        }
    }

    #[test]
    fn a_letter_before_a_quote_counts_only_as_a_word_of_its_own() {
        assert_eq!(
            statements(r"select typE'\'; select 2"),
            [r"select typE'\'", "select 2"]
        );
        assert_eq!(
            statements("select E'a' 'b\\'; select 2").len(),
            2,
            "a continuation needs a line break"
        );
    }

    #[test]
    fn a_dollar_in_a_word_or_before_a_digit_opens_no_quote() {
        assert_eq!(
            statements("select a$b$c; select $1; select $2 $ 3"),
            ["select a$b$c", "select $1", "select $2 $ 3"]
        );
    }

    #[test]
    fn comments_nest_and_hide_quotes_and_semicolons() {
        assert_one_statement("select /* ' ; /* $$ */ ; */ 1 -- it's; \r\n + 2");
        assert_eq!(
            statements("select 1 +-- a;\r2; select 3 */* ; */ 4").len(),
            2
        );
        assert_eq!(statements("select 1 /*/ ; /**/ ; */; select 2").len(), 2);
    }

    #[test]
    fn parentheses_hold_semicolons() {
        assert_one_statement(
            "create rule r as on insert to t do also (delete from a; (select ')'); delete from b)",
        );
        assert_eq!(statements("select 1); select 2").len(), 2);
    }

    #[test]
    fn a_body_in_standard_sql_holds_semicolons() {
        let body =
            "begin atomic select case when true then (case when 1=1 then 2 end) end; select 3; END";
        assert_one_statement(&format!("create function f() returns int {body}"));
        assert_one_statement(&format!(
            "CREATE /* c */ OR REPLACE procedure p(\"end\" int) {body}"
        ));
        assert_one_statement("create function f() returns int language sql as $$ begin; $$");
    }

    #[test]
    fn begin_means_nothing_outside_of_routines() {
        assert_eq!(
            statements(
                "begin; select case when a then b end; end; create table begin (a int); select 1"
            )
            .len(),
            5
        );
        assert_eq!(
            statements("create or drop function begin; select 1").len(),
            2
        );
    }

    #[test]
    fn an_open_quote_comment_or_parenthesis_includes_the_rest_of_the_text() {
        for open in [
            "'", "E'\\'", "\"", "U&\"", "$$", "$a$ $$", "B'", "(", "/* /* */",
        ] {
            let rest = format!("select {open} a; b");
            assert_eq!(
                statements(&format!("select 1; {rest}")),
                ["select 1", &rest],
                "{open}"
            );
        }
        assert_eq!(statements("/* select 1; "), ["/* select 1; "]);
        assert_eq!(statements("select E'\\").len(), 1);
    }

    #[test]
    fn tokens_distinguish_words_names_and_literals() {
        let text = r#"Select a$1,"A""b" /* c */ .ü U&"d\0061t" 1.5e3 $$x$$ <'y'$1"#;
        let tokens: Vec<_> = Tokens::new(text)
            .map(|token| format!("{token:?}"))
            .collect();
        assert_eq!(
            tokens.join(" "),
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
    fn an_error_position_is_converted_to_a_byte_and_a_caret() {
        let script = Script::new("x.sql", "select 1;\r\nselect '🦀', 日本 frm\r\n");
        let byte = script.byte_of_char(0, 27);
        assert!(script.text()[byte..].starts_with("frm"));
        assert_eq!(
            [0, 1, 999].map(|at| script.byte_of_char(0, at)),
            [0, 0, script.text().len()]
        );
        assert_eq!(
            script.excerpt(byte),
            "x.sql:2:16\n 1 | select 1;\n 2 | select '🦀', 日本 frm\n   |                   ^"
        );
    }
}
