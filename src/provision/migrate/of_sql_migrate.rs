//! sql-migrate migrations, with the ledger that sql-migrate itself would write.

use std::path::{Path, PathBuf};

use super::expected_ledger::{self, ExpectedLedger};
use super::marked::{BrokenRule, Marked, Way, ends_statement, go_lines};
use super::marked_migration::{MarkedMigration, MarkedTool};
use super::message::Message;
use super::step::Transaction;
use super::tool::{DirectoryTool, Tool};
use crate::catalog::{Columns, LedgerLayout};
use crate::config::Layout;
use crate::error::Result;
use crate::names::Literal;
use crate::provision::dir_entries::{is_sql_file, name_of, sql_files};
use crate::provision::direction::Direction;
use crate::provision::inputs::MigrationInputs;
use crate::provision::markers::SQL_MIGRATE;
use crate::provision::sql_script::Script;

const TABLE: &str = "gorp_migrations";

static FILES: MarkedTool = MarkedTool {
    marked: &MARKED,
    version: |name| Some((name.to_owned(), "")),
    ledger: TABLE,
    create: "create table if not exists gorp_migrations \
             (id text not null primary key, applied_at timestamp with time zone)",
    insert: |id| {
        let id = Literal(id);
        format!("insert into {TABLE} (id, applied_at) values ({id}, clock_timestamp())")
    },
    delete: |id| format!("delete from {TABLE} where id = {}", Literal(id)),
};

const PREFIX: &str = "-- +migrate ";

static MARKED: Marked = Marked {
    marker: &SQL_MIGRATE,
    parse,
};

pub(super) static TOOL: Tool = Tool {
    ledger: Some(LedgerLayout {
        table: TABLE,
        columns: Columns::AtLeast(&["id", "applied_at"]),
        latest: r#"(array_agg(id order by substring(id from '^\d+')::numeric desc nulls first, id collate "C" desc))[1]"#,
        counts: "true",
        dirty: None,
    }),
    ledger_label: None,
    directory: Some(DirectoryTool {
        layout: Layout::SqlMigrate,
        label: "sql-migrate's",
        naming: "sql-migrate migrations end in .sql and have a line `-- +migrate Up`",
        naming_clause: "sql-migrate migrations have a line `-- +migrate Up`",
        fingerprint_part: Some("layout sql-migrate"),
        is_migration: is_sql_file,
        version: |file| Some(file.id.clone()),
        has_down_files: false,
        removes_byte_order_mark: false,
        marked: Some(&MARKED),
        list,
        migrate: |context, inputs| Box::pin(FILES.migrate(context, inputs)),
        ledger: Some(|inputs, scripts| expected_ledger::ready(ledger(inputs, scripts))),
        reversals: Some(|context, inputs| Box::pin(FILES.reversals(context, inputs))),
    }),
};

/// The files in sql-migrate's order: first those that begin with a number, in the order of the
/// numbers, then the others in the order of their names.
fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = sql_files(dir)?;
    paths.sort_by_cached_key(|path| {
        let number = number(name_of(path));
        (number.is_none(), number)
    });
    Ok(paths)
}

/// The number at the start of a name. Names with a number that does not fit into 64 bits are last:
/// sql-migrate fails on them.
fn number(name: &str) -> Option<u64> {
    let rest = name.trim_start_matches(|c: char| c.is_ascii_digit());
    name[..name.len() - rest.len()].parse().ok()
}

/// The rows that sql-migrate's table must hold.
fn ledger(inputs: &MigrationInputs, scripts: &[Script]) -> Result<ExpectedLedger> {
    let migrations = FILES.find(inputs, scripts)?.into_iter();
    Ok(ExpectedLedger {
        table: TABLE,
        select: "select id, null::text from gorp_migrations",
        rows: migrations.map(MarkedMigration::into_row).collect(),
    })
}

/// One way of a file. Each statement is a message of its own, without its last semicolon and
/// without the lines that begin with `-- `. sql-migrate removes these lines inside of function
/// bodies, too.
fn parse(text: &str, direction: Direction) -> Result<Way, BrokenRule> {
    let mut messages = Vec::new();
    let mut ranges = Vec::new();
    let mut transaction = Transaction::Own;
    // The start of the part that the line belongs to; a part of the other way has none.
    let mut part: Option<usize> = None;
    let mut is_begun = false;
    let mut block: Option<usize> = None;
    let mut statement = Message::empty();
    let mut start = 0;
    for (at, line, _) in go_lines(text) {
        let mut ends = false;
        if let Some(words) = line.strip_prefix(PREFIX) {
            let mut words = words.split_whitespace();
            match words.next() {
                Some(word @ ("Up" | "Down")) => {
                    require_end(&statement, start)?;
                    statement = Message::empty();
                    ranges.extend(part.take().map(|start| start..at));
                    is_begun = true;
                    if word == word_of(direction) {
                        part = Some(at);
                        if words.any(|option| option == "notransaction") {
                            transaction = Transaction::None;
                        }
                    }
                }
                Some("StatementBegin") if is_begun => block = Some(at),
                Some("StatementEnd") if is_begun => ends = block.take().is_some(),
                // sql-migrate ignores other words.
                _ => {}
            }
        } else if line.starts_with("-- ") {
            continue;
        } else if is_begun {
            if statement.is_blank() {
                start = at;
            }
            statement.push(line, at);
            ends = block.is_none() && ends_statement(line);
        }
        if ends {
            let statement = std::mem::replace(&mut statement, Message::empty());
            if part.is_some() {
                messages.push(without_semicolon(statement));
            }
        }
    }
    ranges.extend(part.map(|start| start..text.len()));
    if let Some(at) = block {
        return Err(BrokenRule::new(
            at,
            "`-- +migrate StatementBegin` must have its `-- +migrate StatementEnd`",
            "add the line `-- +migrate StatementEnd` after the statement",
        ));
    }
    if !is_begun {
        return Err(BrokenRule::new(
            0,
            "there must be a line `-- +migrate Up`",
            "add that line before the first statement",
        ));
    }
    require_end(&statement, start)?;
    Ok(Way {
        messages,
        transaction,
        ranges,
    })
}

/// The word that begins a part of the way.
fn word_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "Up",
        Direction::Down => "Down",
    }
}

fn require_end(statement: &Message<'_>, start: usize) -> Result<(), BrokenRule> {
    if statement.is_blank() {
        return Ok(());
    }
    Err(BrokenRule::new(
        start,
        "a line must end with the semicolon of the statement",
        "end the statement with a semicolon, or put it between `-- +migrate StatementBegin` and \
         `-- +migrate StatementEnd`",
    ))
}

fn without_semicolon(mut statement: Message<'static>) -> Message<'static> {
    let text = statement.text();
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix(' ').unwrap_or(text);
    let text = text.strip_suffix(';').unwrap_or(text);
    let len = text.len();
    statement.truncate(len);
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str, direction: Direction) -> Vec<String> {
        let way = parse(text, direction).unwrap();
        way.messages
            .iter()
            .map(|message| message.text().to_owned())
            .collect()
    }

    #[test]
    fn each_statement_of_the_ways_up_is_a_message() {
        let text = "ignored;\n-- +migrate Up notransaction\ncreate a; -- end\n\ncreate\n-- left out\n\
                    --kept\n  b; \n-- +migrate StatementBegin\nbody;\nend;\n\
                    -- +migrate StatementEnd\n-- +migrate Down\ndrop;\n-- +migrate Up\nc; d;\n";
        assert_eq!(
            messages(text, Direction::Up),
            [
                "create a; -- end",
                "\ncreate\n--kept\n  b",
                "body;\nend",
                "c; d"
            ]
        );
        assert_eq!(messages(text, Direction::Down), ["drop"]);
        let down = parse(text, Direction::Down).unwrap();
        assert_eq!(down.transaction, Transaction::Own);
        let up = parse(text, Direction::Up).unwrap();
        assert_eq!(up.transaction, Transaction::None);
        let kept: Vec<&str> = up.ranges.into_iter().map(|range| &text[range]).collect();
        assert!(kept[0].ends_with("StatementEnd\n") && kept[1].ends_with("c; d;\n"));
    }

    #[test]
    fn a_file_that_sql_migrate_refuses_is_refused() {
        for (text, offset) in [
            ("create a;\n", 0),
            ("\u{feff}-- +migrate Up\n", 0),
            ("-- +migrate Up\na\n", 15),
            ("-- +migrate Up\na\n-- +migrate Down\n", 15),
            ("-- +migrate Up\n-- +migrate StatementBegin\na;\n", 15),
            ("-- +migrate Sideways\n", 0),
        ] {
            for direction in [Direction::Up, Direction::Down] {
                assert_eq!(parse(text, direction).unwrap_err().offset, offset, "{text}");
            }
        }
    }

    #[test]
    fn names_are_ordered_by_their_number() {
        assert_eq!(number("10_a.sql"), Some(10));
        assert_eq!(number("a.sql"), None);
    }
}
