//! Finds statements that affect the whole server, and not one database only, from the text alone.
//!
//! All databases of a server share its roles, tablespaces and other databases
//! (<https://www.postgresql.org/docs/current/manage-ag-overview.html>). A second build on the same
//! server would find the roles of the first build, and other projects would see these roles. So
//! contents with such a statement get a dedicated server.
//!
//! A statement that is reported by mistake costs one more server. A statement that is missed costs
//! isolation. So the scan reports a statement if in doubt. It cannot find SQL that a program builds
//! from parts at run time.
//!
//! There are two passes. [`may_be_server_wide`] searches the bytes of a file for certain words.
//! Only if it finds one, [`ServerWide::find`] reads the tokens.

mod first_pass;
mod shared_names;
mod statement;

use super::input_file::InputFile;
use super::psql::search::find_statement;
use crate::lexer::{Token, Tokens, string_content};
use shared_names::SERVER_WIDE_FUNCTIONS;
use statement::{Spanned, is_server_wide, is_word_at, may_run_strings};

pub(super) use first_pass::may_be_server_wide;

/// How many characters of a statement a report shows.
const MAX_STATEMENT_CHARS: usize = 60;

/// A statement that affects the whole server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerWide {
    /// The file and the line, as `file:line`.
    pub(crate) place: String,
    /// The first words of the statement.
    pub(crate) statement: String,
}

impl ServerWide {
    /// The first such statement of a file. A file that cannot be read has none: the build reads it
    /// again and reports the error.
    pub(super) fn find(file: &InputFile) -> Option<Self> {
        let found = find_statement(file, |text| find_offset(text, CodeKind::Script));
        let found = found.ok()??;
        Some(Self {
            place: format!("{}:{}", file.display_path, found.line),
            statement: first_words(&found.text),
        })
    }
}

/// What kind of code a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CodeKind {
    /// A statement of a file.
    Script,
    /// The body of a function, or a string that may be executed.
    Body,
}

/// The byte at which the first statement starts that affects the whole server.
fn find_offset(text: &str, kind: CodeKind) -> Option<usize> {
    let mut tokens = Tokens::new(text);
    let mut statement: Vec<Spanned<'_>> = Vec::new();
    while let Some(token) = tokens.next() {
        if token == Token::Symbol(';') {
            if let Some(offset) = find_in_statement(&statement, kind) {
                return Some(offset);
            }
            statement.clear();
        } else {
            statement.push((token, tokens.start));
        }
    }
    find_in_statement(&statement, kind)
}

/// The byte in a statement, or in a string that it may execute, at which such a statement starts.
fn find_in_statement(statement: &[Spanned<'_>], kind: CodeKind) -> Option<usize> {
    let runs_strings = kind == CodeKind::Body || may_run_strings(statement);
    let mut starts = true;
    for (at, (token, offset)) in statement.iter().enumerate() {
        let is_call = || {
            statement
                .get(at + 1)
                .is_some_and(|(next, _)| *next == Token::Symbol('('))
        };
        if starts && is_server_wide(&statement[at..])
            || is_word_at(statement, at, &SERVER_WIDE_FUNCTIONS) && is_call()
        {
            return Some(*offset);
        }
        if let Token::Literal(literal) = token
            && runs_strings
            && let Some((open, body)) = string_content(literal)
            && let Some(inner) = find_offset(body, CodeKind::Body)
        {
            return Some(offset + open + inner);
        }
        // In PL/pgSQL, a statement begins after these keywords.
        starts =
            kind == CodeKind::Body && is_word_at(statement, at, &["begin", "then", "else", "loop"]);
    }
    None
}

/// The first words of a statement, on one line.
fn first_words(text: &str) -> String {
    let end = text.find(';').unwrap_or(text.len());
    let mut line = text[..end].split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(MAX_STATEMENT_CHARS) {
        line.truncate(cut);
        line.push_str("..");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::first_pass::CHUNK_BYTES;
    use super::*;

    #[track_caller]
    fn found(text: &str) -> Option<(usize, String)> {
        let found = ServerWide::find(&InputFile::embedded("seed", "x.sql", text))?;
        // The first pass must not miss it, also across the border of two chunks.
        assert!(
            may_be_server_wide(text.as_bytes()).expect("it reads"),
            "{text}"
        );
        let padded = format!("{}\n;{text}", "-- x\n".repeat((CHUNK_BYTES - 10) / 5));
        assert!(
            may_be_server_wide(padded.as_bytes()).expect("it reads"),
            "{text}"
        );
        let line = found
            .place
            .strip_prefix("x.sql:")
            .expect("the file's name")
            .parse()
            .expect("a line");
        Some((line, found.statement))
    }

    #[test]
    fn statements_that_affect_the_whole_server_are_found() {
        for text in [
            "create role app",
            "CREATE /* a */ USER \"App\" login",
            "alter role current_user set statement_timeout = '50ms'",
            "alter user all reset all",
            "drop group if exists a",
            "alter role app in database shop set work_mem = '1MB'",
            "grant a, b to c with admin option",
            "revoke admin option for a from b",
            "grant set on parameter log_statement to app",
            "grant create on tablespace fast to app",
            "grant connect on database shop to app",
            "revoke all on database \"postgres\" from public",
            "reassign owned by a to b",
            "drop owned by a",
            "create tablespace fast location '/srv/fast'",
            "drop tablespace fast",
            "create database other",
            "drop database if exists other",
            "alter database other set timezone = 'UTC'",
            "alter system set work_mem = '8MB'",
            "comment on role app is 'x'",
            "comment on database shop is 'x'",
            "security label for dummy on role app is 'x'",
            "security label on tablespace fast is 'x'",
            "create subscription s connection '' publication p",
            "select pg_replication_origin_create('x')",
            "insert into t select pg_create_logical_replication_slot('s', 'pgoutput')",
            "update pg_catalog.pg_authid set rolsuper = true",
            "do $$ begin create role app; end $$",
            "do $a$ begin if not exists (select 1) then create role app; end if; end $a$",
            "do $$ begin execute 'create role ' || quote_ident('app'); end $$",
            "do $$ begin execute format('create user %I', 'app'); end $$",
            "do 'begin drop role app; end'",
            "\\restrict x\ngrant a to b",
            "create or replace function f() returns void language plpgsql as $f$ begin loop grant \
             a to b; end loop; end $f$",
            "select dblink_exec('dbname=postgres', 'alter system reset all')",
        ] {
            assert!(found(text).is_some(), "{text}");
        }
    }

    #[test]
    fn statements_that_affect_one_database_are_not_reported() {
        for text in [
            "create table role (id int); alter table t drop role; alter table t alter role type \
             text",
            "alter table t add a int, drop role",
            "create user mapping for app server s; drop user mapping for app server s",
            "grant select (a, b), insert on t to app; revoke all on all tables in schema s from \
             public",
            "grant usage on schema s to app",
            "do $$ begin execute format('alter database %I set search_path = app', \
             current_database()); end $$",
            "do $$ begin execute 'comment on database ' || quote_ident(current_database()) || ' is \
             null'; end $$",
            "do $$ begin execute format('alter role %I in database %I set a.b = 1', current_user, \
             current_database()); end $$",
            "comment on table t is 'create role app'",
            "insert into notes values ('create role app'), ($$drop role app$$)",
            "-- create role app\n/* create role app; */ select 1",
            "set role app; set local session authorization app; reset role",
            "select * from pg_roles; select count(*) from pg_database",
            "alter default privileges grant select on tables to app",
            "create publication p for all tables; create schema s authorization app",
            "create subscription s connection 'x' publication p with (connect = false, slot_name = \
             none)",
            "alter subscription s set (binary = true); drop subscription s; comment on \
             subscription s is 'x'",
            "alter table t owner to app",
            "copy t from stdin;\ncreate role app; don't\n\\.\nselect 1",
            "\\restrict create role app;\nselect 1",
            "select $1, 'it''s', 1.5",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_pass_ignores_such_words_in_data() {
        let text = "insert into users (role, note) values ('user', 'they grant a role on demand; \
             system group');\n";
        assert!(!may_be_server_wide(text.repeat(5000).as_bytes()).expect("it reads"));
    }

    #[test]
    fn a_report_has_the_line_and_the_first_words_of_the_statement() {
        assert_eq!(
            found("select 1;\n\ncreate  role\n app;"),
            Some((3, "create role app".to_owned()))
        );
        let body = "do $$\nbegin\n  perform 1;\n  create role app nologin;\nend $$";
        assert_eq!(found(body), Some((4, "create role app nologin".to_owned())));
        let long = format!("create role {}", "é".repeat(80));
        assert_eq!(
            found(&long),
            Some((1, format!("create role {}..", "é".repeat(48))))
        );
        assert_eq!(
            found("copy t from stdin;\nit's\n\\.\ncreate role app"),
            Some((4, "create role app".to_owned()))
        );
    }

    #[test]
    fn an_incomplete_text_is_read_to_its_end() {
        for text in [
            "do $$ begin create role app",
            "do $$",
            "do '",
            "select e'\\",
            "\\",
            "copy t from stdin;",
            "do U&'",
        ] {
            // The result does not matter: it must return without a panic.
            drop(found(text));
        }
        assert!(found("do $$ begin create role app; ").is_some());
    }
}
