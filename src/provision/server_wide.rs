//! Which statement of a script touches what belongs to the whole server, read from the text alone.
//!
//! Roles, tablespaces, other databases and their like are shared by all databases of a server
//! (<https://www.postgresql.org/docs/current/manage-ag-overview.html>), so a second build would find them there, and other
//! projects would see them. A statement that is reported by mistake costs a server, and one that is overlooked costs
//! isolation: in doubt the scan reports. Words that a program puts together at run time cannot be seen.

use std::io::Read;

use super::script::Script;
use crate::lexer::{Token, Tokens};

/// Characters of a statement that a report shows.
const SHOWN: usize = 60;

/// Catalogs that all databases of a server share
/// (<https://www.postgresql.org/docs/current/catalogs-overview.html>).
const SHARED_CATALOGS: [&str; 11] = [
    "pg_auth_members",
    "pg_authid",
    "pg_database",
    "pg_db_role_setting",
    "pg_parameter_acl",
    "pg_replication_origin",
    "pg_shdepend",
    "pg_shdescription",
    "pg_shseclabel",
    "pg_subscription",
    "pg_tablespace",
];

/// Functions that change something of the whole server
/// (<https://www.postgresql.org/docs/current/functions-admin.html>).
const FUNCTIONS: [&str; 10] = [
    "pg_copy_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_create_physical_replication_slot",
    "pg_drop_replication_slot",
    "pg_reload_conf",
    "pg_replication_origin_advance",
    "pg_replication_origin_create",
    "pg_replication_origin_drop",
    "pg_replication_slot_advance",
];

/// A statement that touches what belongs to the whole server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerWide {
    /// The file and the line, as `file:line`.
    pub(crate) place: String,
    /// The beginning of the statement.
    pub(crate) statement: String,
}

impl ServerWide {
    /// The first such statement of a script.
    pub(super) fn find(script: &Script) -> Option<Self> {
        let offset = find(script.text(), Place::Script)?;
        let line = script.position_of_byte(offset).line;
        Some(Self {
            place: format!("{}:{line}", script.name()),
            statement: beginning(&script.text()[offset..]),
        })
    }
}

/// Bytes that are read at a time. Seeds may be large.
const CHUNK: usize = 64 << 10;
/// Bytes before a word that are looked at, and that are carried over from one chunk to the next.
const CONTEXT: usize = 256;

/// Whether a text has words that the scan looks for. Every process looks at every file, so this goes over the bytes once,
/// without keeping them: reading all tokens takes ten times as long.
pub(super) fn may_touch(mut text: impl Read) -> std::io::Result<bool> {
    let mut window = Vec::with_capacity(CHUNK + CONTEXT);
    loop {
        let carried = window.len().saturating_sub(CONTEXT);
        window.drain(..carried);
        let begin = window.len();
        if text.by_ref().take(CHUNK as u64).read_to_end(&mut window)? == 0 {
            return Ok(false);
        }
        window[begin..].make_ascii_lowercase();
        if has_words(&window) {
            return Ok(true);
        }
    }
}

fn has_words(text: &[u8]) -> bool {
    let mut at = 0;
    let mut is_inside = false;
    while at < text.len() {
        let byte = text[at];
        let is_letter = byte == b'_' || byte.is_ascii_alphanumeric();
        if is_letter && !is_inside && may_touch_with_word(text, at) {
            return true;
        }
        is_inside = is_letter;
        at += 1;
    }
    false
}

/// Whether the word that starts here is one that the scan looks for, behind what it needs there.
fn may_touch_with_word(text: &[u8], at: usize) -> bool {
    let word = &text[at..];
    let objects: &[&str] = match word[0] {
        b'p' => return word.starts_with(b"pg_") && names_shared(word),
        b'r' => &["role", "revoke"],
        b'u' => &["user"],
        b'g' => &["group", "grant"],
        b'd' => &["database"],
        b't' => &["tablespace"],
        b's' => &["subscription", "system"],
        b'o' => &["owned"],
        _ => return false,
    };
    let Some(object) = objects
        .iter()
        .find(|object| word.starts_with(object.as_bytes()))
    else {
        return false;
    };
    let before = text[at.saturating_sub(CONTEXT)..at].trim_ascii_end();
    // A grant begins a statement, and any other of the words follows a verb. A comment may stand before either.
    let allowed: &[&str] = match *object {
        "grant" | "revoke" => &[";", "'", "$", "begin", "then", "else", "loop"],
        _ => &["create", "alter", "drop", "reassign", "on"],
    };
    let line = before
        .rsplit(|byte| *byte == b'\n')
        .next()
        .unwrap_or(before);
    // Also behind data, or behind a command of psql's.
    before.is_empty()
        || before.ends_with(b"*/")
        || line.contains(&b'\\')
        || line.windows(2).any(|pair| pair == b"--")
        || allowed.iter().any(|end| before.ends_with(end.as_bytes()))
}

fn names_shared(word: &[u8]) -> bool {
    SHARED_CATALOGS
        .iter()
        .chain(&FUNCTIONS)
        .any(|name| word.starts_with(name.as_bytes()))
}

/// Where some SQL stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Script,
    /// The body of a function, or a string that a program may execute.
    Body,
}

/// A token and the byte at which it starts.
type Spanned<'a> = (Token<'a>, usize);

/// The byte at which the first statement of this kind starts.
fn find(text: &str, place: Place) -> Option<usize> {
    let mut tokens = Tokens::new(text);
    let mut statement: Vec<Spanned<'_>> = Vec::new();
    while let Some(token) = tokens.next() {
        if token == Token::Symbol('\\') && statement.is_empty() && place == Place::Script {
            // One of psql's own commands, which ends with its line.
            tokens.end += text[tokens.end..]
                .find('\n')
                .unwrap_or(text.len() - tokens.end);
        } else if token == Token::Symbol(';') {
            if let Some(offset) = in_statement(&statement, place) {
                return Some(offset);
            }
            if reads_data(&statement) {
                tokens.end += text[tokens.end..]
                    .find("\n\\.")
                    .map_or(0, |at| at + "\n\\.".len());
            }
            statement.clear();
        } else {
            statement.push((token, tokens.start));
        }
    }
    in_statement(&statement, place)
}

/// Whether the lines that follow are data: `COPY ... FROM stdin`, as `pg_dump` writes it.
fn reads_data(statement: &[Spanned<'_>]) -> bool {
    let is_pair = |pair: &[Spanned<'_>]| pair[0].0.is_word("from") && pair[1].0.is_word("stdin");
    is(statement, 0, &["copy"]) && statement.windows(2).any(is_pair)
}

fn in_statement(statement: &[Spanned<'_>], place: Place) -> Option<usize> {
    let runs_strings = place == Place::Body || may_run_strings(statement);
    let mut starts = true;
    for (at, (token, offset)) in statement.iter().enumerate() {
        let is_call = || {
            statement
                .get(at + 1)
                .is_some_and(|(next, _)| *next == Token::Symbol('('))
        };
        if starts && touches(&statement[at..]) || is(statement, at, &FUNCTIONS) && is_call() {
            return Some(*offset);
        }
        if let Token::Literal(literal) = token
            && runs_strings
            && let Some((open, body)) = content(literal)
            && let Some(inner) = find(body, Place::Body)
        {
            return Some(offset + open + inner);
        }
        // Keywords of PL/pgSQL after which a statement begins.
        starts = place == Place::Body && is(statement, at, &["begin", "then", "else", "loop"]);
    }
    None
}

/// Whether this may execute what stands in its strings.
fn may_run_strings(statement: &[Spanned<'_>]) -> bool {
    let kind = if is(statement, 1, &["or"]) { 3 } else { 1 };
    is(
        statement,
        0,
        &["do", "select", "with", "call", "execute", "prepare"],
    ) || is(statement, 0, &["create"]) && is(statement, kind, &["function", "procedure"])
}

/// What stands between the quotes of a string, and the byte at which it starts.
fn content(literal: &str) -> Option<(usize, &str)> {
    let (open, close) = if let Some(tagged) = literal.strip_prefix('$') {
        let tag = tagged.find('$')? + 2;
        (tag, tag)
    } else {
        (literal.find('\'')? + 1, 1)
    };
    // A quote that never ends takes the rest of the text.
    Some((
        open,
        literal
            .get(open..literal.len().checked_sub(close)?)
            .unwrap_or_default(),
    ))
}

/// Whether one of these keywords stands there.
fn is(statement: &[Spanned<'_>], at: usize, keywords: &[&str]) -> bool {
    statement
        .get(at)
        .is_some_and(|(token, _)| keywords.iter().any(|keyword| token.is_word(keyword)))
}

/// Whether a statement that begins here touches the server. It ends with the tokens, or goes on in a string's parts.
fn touches(statement: &[Spanned<'_>]) -> bool {
    let word = |at: usize, keywords: &[&str]| is(statement, at, keywords);
    let makes = word(0, &["create", "alter", "drop"]);
    if makes && (word(1, &["role", "group"]) || word(1, &["user"]) && !word(2, &["mapping"])) {
        // Settings of a role in one database belong to that database.
        let of_one =
            (2..statement.len()).find(|at| word(*at, &["in"]) && word(at + 1, &["database"]));
        return !word(0, &["alter"]) || of_one.is_none_or(|at| is_fixed(statement, at + 2));
    }
    if makes && word(1, &["database"]) {
        return !word(0, &["alter"]) || is_fixed(statement, 2);
    }
    if word(0, &["grant", "revoke"]) {
        return grants(statement);
    }
    if word(0, &["comment"]) && word(1, &["on"]) {
        return is_shared_object(statement, 2);
    }
    if word(0, &["security"]) && word(1, &["label"]) {
        return is_shared_object(statement, if word(2, &["for"]) { 5 } else { 3 });
    }
    if word(0, &["insert", "update", "delete", "merge"]) {
        return (1..statement.len()).any(|at| word(at, &SHARED_CATALOGS));
    }
    makes && word(1, &["tablespace"])
        || word(0, &["create"]) && word(1, &["subscription"]) && !is_unconnected(statement)
        || word(0, &["alter"]) && word(1, &["system"])
        || word(0, &["reassign", "drop"]) && word(1, &["owned"])
}

/// Whether a grant is a role's membership, or one on an object of the whole server.
fn grants(statement: &[Spanned<'_>]) -> bool {
    let Some(on) = (1..statement.len()).find(|at| is(statement, *at, &["on"])) else {
        return (1..statement.len()).any(|at| is(statement, at, &["to", "from"]));
    };
    is(statement, on + 1, &["parameter", "tablespace"])
        || is(statement, on + 1, &["database"]) && is_fixed(statement, on + 2)
}

fn is_shared_object(statement: &[Spanned<'_>], at: usize) -> bool {
    is(statement, at, &["role", "tablespace"])
        || is(statement, at, &["database"]) && is_fixed(statement, at + 1)
}

/// Whether a subscription says `connect = false`. It belongs to its database alone then; any other makes a slot on another
/// server, and occupies workers of this one
/// (<https://www.postgresql.org/docs/current/sql-createsubscription.html>).
fn is_unconnected(statement: &[Spanned<'_>]) -> bool {
    (2..statement.len()).any(|at| {
        is(statement, at, &["connect"])
            && statement
                .get(at + 1)
                .is_some_and(|(token, _)| *token == Token::Symbol('='))
            && is(statement, at + 2, &["false", "off"])
    })
}

/// Whether a database is named by a fixed name. The database that is being built has another name each time, so a fixed
/// one is another database; a place for a name, as in `format('alter database %I', current_database())`, is taken for it.
fn is_fixed(statement: &[Spanned<'_>], at: usize) -> bool {
    matches!(
        statement.get(at),
        Some((Token::Word(_) | Token::Quoted(_), _))
    )
}

/// The first words of a statement, in one line.
fn beginning(text: &str) -> String {
    let end = text.find(';').unwrap_or(text.len());
    let mut line = text[..end].split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(SHOWN) {
        line.truncate(cut);
        line.push_str("..");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn found(text: &str) -> Option<(usize, String)> {
        let found = ServerWide::find(&Script::new("x.sql", text))?;
        // However the file is read, it is not passed over.
        assert!(may_touch(text.as_bytes()).expect("it reads"), "{text}");
        let padded = format!("{}\n;{text}", "-- x\n".repeat((CHUNK - 10) / 5));
        assert!(may_touch(padded.as_bytes()).expect("it reads"), "{text}");
        let line = found
            .place
            .strip_prefix("x.sql:")
            .expect("the file's name")
            .parse()
            .expect("a line");
        Some((line, found.statement))
    }

    #[test]
    fn what_touches_the_server_is_found() {
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
            "create or replace function f() returns void language plpgsql as $f$ begin loop grant a to b; end loop; end $f$",
            "select dblink_exec('dbname=postgres', 'alter system reset all')",
        ] {
            assert!(found(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_belongs_to_one_database_is_left_alone() {
        for text in [
            "create table role (id int); alter table t drop role; alter table t alter role type text",
            "alter table t add a int, drop role",
            "create user mapping for app server s; drop user mapping for app server s",
            "grant select (a, b), insert on t to app; revoke all on all tables in schema s from public",
            "grant usage on schema s to app",
            "do $$ begin execute format('alter database %I set search_path = app', current_database()); end $$",
            "do $$ begin execute 'comment on database ' || quote_ident(current_database()) || ' is null'; end $$",
            "do $$ begin execute format('alter role %I in database %I set a.b = 1', current_user, current_database()); end $$",
            "comment on table t is 'create role app'",
            "insert into notes values ('create role app'), ($$drop role app$$)",
            "-- create role app\n/* create role app; */ select 1",
            "set role app; set local session authorization app; reset role",
            "select * from pg_roles; select count(*) from pg_database",
            "alter default privileges grant select on tables to app",
            "create publication p for all tables; create schema s authorization app",
            "create subscription s connection 'x' publication p with (connect = false, slot_name = none)",
            "alter subscription s set (binary = true); drop subscription s; comment on subscription s is 'x'",
            "alter table t owner to app",
            "copy t from stdin;\ncreate role app; don't\n\\.\nselect 1",
            "\\restrict create role app;\nselect 1",
            "select $1, 'it''s', 1.5",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn data_with_such_words_is_passed_over() {
        let text = "insert into users (role, note) values ('user', 'they grant a role on demand; system group');\n";
        assert!(!may_touch(text.repeat(5000).as_bytes()).expect("it reads"));
    }

    #[test]
    fn a_report_names_the_line_and_the_statement() {
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
    fn a_text_that_ends_early_is_read_to_its_end() {
        for text in [
            "do $$ begin create role app",
            "do $$",
            "do '",
            "select e'\\",
            "\\",
            "copy t from stdin;",
            "do U&'",
        ] {
            // What counts is that it returns.
            drop(found(text));
        }
        assert!(found("do $$ begin create role app; ").is_some());
    }
}
