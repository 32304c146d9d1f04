//! The commands of psql that begin with a backslash: what each does to a database.
//!
//! | commands | here |
//! |---|---|
//! | `\restrict`, `\unrestrict` | honoured: between them any other command is an error |
//! | `\g`, `\gx` | end a statement, like a semicolon |
//! | `\q` | ends the file |
//! | commands that only print or format | skipped |
//! | `\set`, `\unset`, `\encoding UTF8` | skipped; the use of a variable is refused |
//! | all others | refused, with the reason |
//!
//! <https://www.postgresql.org/docs/current/app-psql.html#APP-PSQL-META-COMMANDS>

use super::variables;

/// Commands that print, or change how psql prints. The commands that begin with `\d` belong to them.
const OUTPUT: [&str; 29] = [
    "?",
    "a",
    "C",
    "conninfo",
    "copyright",
    "echo",
    "errverbose",
    "f",
    "h",
    "H",
    "help",
    "html",
    "l",
    "l+",
    "list",
    "pset",
    "qecho",
    "s",
    "sf",
    "sf+",
    "sv",
    "sv+",
    "t",
    "T",
    "timing",
    "warn",
    "x",
    "z",
    "z+",
];

/// What a command asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Restrict(&'a str),
    Unrestrict(&'a str),
    /// The end of a statement.
    Go,
    Quit,
    /// It has no effect on the database.
    Skip,
    /// Gives a variable a value.
    Set(&'a str),
    Unset(&'a str),
    Refused(Refusal),
}

/// Why a command cannot run, and what to do instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: &'static str,
    pub(super) remedy: &'static str,
}

impl<'a> Command<'a> {
    /// Parses a command from its backslash on.
    pub(super) fn parse(text: &'a str) -> Self {
        let text = text.strip_prefix('\\').unwrap_or(text);
        let end = text.find(|c: char| c.is_ascii_whitespace());
        let (name, arguments) = text.split_at(end.unwrap_or(text.len()));
        let arguments = arguments.trim();
        let first = arguments.split_ascii_whitespace().next();
        let first = first.unwrap_or_default().trim_matches(['\'', '"']);
        if arguments.contains('`') {
            return Self::refused(
                "a text in backquotes would run a program",
                "write the result into the file",
            );
        }
        match name {
            "restrict" if first.is_empty() => Self::refused("it needs a key", "add the key"),
            "restrict" => Self::Restrict(first),
            "unrestrict" => Self::Unrestrict(first),
            "g" | "gx" if arguments.is_empty() || arguments.starts_with('(') => Self::Go,
            "q" | "quit" => Self::Quit,
            "set" if variables::changes_execution(first) => Self::refused(
                "the variable changes how psql runs statements",
                "remove the line: a file runs in one transaction unless it contains BEGIN or COMMIT",
            ),
            "set" => Self::Set(first),
            "unset" => Self::Unset(first),
            "encoding" if is_utf8(first) => Self::Skip,
            "o" | "out" if !arguments.starts_with('|') => Self::Skip,
            name if OUTPUT.contains(&name) || name.starts_with('d') => Self::Skip,
            name => Self::Refused(refusal(name)),
        }
    }

    fn refused(reason: &'static str, remedy: &'static str) -> Self {
        Self::Refused(Refusal { reason, remedy })
    }
}

/// Why a command that is none of the above cannot run.
fn refusal(name: &str) -> Refusal {
    let (reason, remedy) = match name {
        "c" | "connect" => (
            "a file fills one database, and this command opens another",
            "remove the line, or make the dump without --create",
        ),
        "i" | "include" | "ir" | "include_relative" => (
            "the other file would not be an input of the database",
            "put the content of that file here, or make that file one of its own, named in order",
        ),
        "copy" => (
            "the file that it reads would not be an input of the database",
            "write COPY .. FROM stdin with the rows and a line \\. after it, or make the rows a CSV \
             seed",
        ),
        "gexec" => (
            "it runs the results of a query as statements",
            "write the statements, or build and EXECUTE them in a DO block",
        ),
        "gset" | "getenv" | "prompt" => (
            "it gives a variable a value, and variables are not replaced",
            "write the value, or use a DO block",
        ),
        "if" | "elif" | "else" | "endif" => (
            "conditions of psql are not evaluated",
            "write the statements that shall run, or decide in a DO block",
        ),
        "encoding" => ("a file must be UTF-8", "save the file with UTF-8 encoding"),
        "." => (
            "it ends the data of COPY .. FROM stdin, and none are open",
            "remove the line, or add the COPY statement",
        ),
        "g" | "gx" | "o" | "out" | "w" | "write" | "!" | "cd" | "setenv" | "watch" => (
            "it works on files, programs or the environment, not on the database",
            "remove it",
        ),
        _ => (
            "the command is unknown, or has no counterpart outside of psql",
            "write the statement that it stands for, or remove it",
        ),
    };
    Refusal { reason, remedy }
}

/// Whether a name of an encoding means UTF-8. The server ignores case and punctuation in it.
fn is_utf8(name: &str) -> bool {
    let name = name.trim_end_matches(';').to_ascii_lowercase();
    matches!(
        name.replace(['-', '_'], "").as_str(),
        "utf8" | "unicode" | ""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_run_skipped_or_refused() {
        for (text, command) in [
            ("\\restrict a1", Command::Restrict("a1")),
            ("\\unrestrict a1\r", Command::Unrestrict("a1")),
            ("\\g", Command::Go),
            ("\\gx (expanded=on)", Command::Go),
            ("\\q", Command::Quit),
            ("\\set ON_ERROR_STOP on", Command::Set("ON_ERROR_STOP")),
            ("\\unset x", Command::Unset("x")),
        ] {
            assert_eq!(Command::parse(text), command, "{text}");
        }
        for text in [
            "\\echo a",
            "\\timing",
            "\\pset pager off",
            "\\encoding UTF8",
            "\\encoding 'utf-8'",
            "\\dt+",
            "\\d users",
            "\\o /dev/null",
            "\\x",
            "\\l",
        ] {
            assert_eq!(Command::parse(text), Command::Skip, "{text}");
        }
        for (text, word) in [
            ("\\connect shop", "--create"),
            ("\\c", "--create"),
            ("\\i a.sql", "content"),
            ("\\ir a.sql", "content"),
            ("\\copy t from 'a'", "COPY"),
            ("\\gexec", "DO block"),
            ("\\gset", "value"),
            ("\\if :x", "DO block"),
            ("\\endif", "DO block"),
            ("\\encoding LATIN1", "UTF-8"),
            ("\\g out.txt", "remove"),
            ("\\o |cat", "remove"),
            ("\\! ls", "remove"),
            ("\\echo `date`", "result"),
            ("\\set AUTOCOMMIT off", "transaction"),
            ("\\restrict", "key"),
            ("\\.", "COPY"),
            ("\\nonsense", "remove"),
        ] {
            let Command::Refused(refusal) = Command::parse(text) else {
                panic!("{text} is not refused");
            };
            assert!(refusal.remedy.contains(word), "{text}: {}", refusal.remedy);
        }
    }
}
