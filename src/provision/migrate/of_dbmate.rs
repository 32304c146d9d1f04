//! dbmate migrations, with the ledger that dbmate itself would write.

use std::path::{Path, PathBuf};

use super::expected_ledger::{self, ExpectedLedger};
use super::marked::{BrokenRule, Marked, Way};
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
use crate::provision::markers::DBMATE;
use crate::provision::sql_script::Script;

const TABLE: &str = "schema_migrations";

static FILES: MarkedTool = MarkedTool {
    marked: &MARKED,
    version,
    ledger: TABLE,
    create: "create table if not exists schema_migrations (version varchar(128) primary key)",
    insert: |version| in_current_schema("insert into %I.%I (version) values (%L)", version),
    delete: |version| in_current_schema("delete from %I.%I where version = %L", version),
};

static MARKED: Marked = Marked {
    marker: &DBMATE,
    parse,
};

pub(super) static TOOL: Tool = Tool {
    ledger: Some(LedgerLayout {
        table: TABLE,
        // Rails has the same table. Both order the versions as text.
        columns: Columns::Exactly(&["version"]),
        latest: "max(version::text collate \"C\")",
        counts: "true",
        dirty: None,
    }),
    ledger_label: None,
    directory: Some(DirectoryTool {
        layout: Layout::Dbmate,
        label: "dbmate's",
        naming: "dbmate migrations are named 20260101000000_name.sql, and have a line \
                 `-- migrate:up` and a line `-- migrate:down`",
        naming_clause: "dbmate migrations have a line `-- migrate:up`",
        fingerprint_part: Some("layout dbmate"),
        is_migration,
        version: |file| Some(version(&file.id)?.0),
        has_down_files: false,
        removes_byte_order_mark: false,
        marked: Some(&MARKED),
        list,
        migrate: |context, inputs| Box::pin(FILES.migrate(context, inputs)),
        ledger: Some(|inputs, scripts| expected_ledger::ready(ledger(inputs, scripts))),
        reversals: Some(|context, inputs| Box::pin(FILES.reversals(context, inputs))),
    }),
};

/// A statement on the table in the first schema of the search path, or in `public` if there is none,
/// as dbmate searches for it before each statement. A migration can have emptied the path.
fn in_current_schema(statement: &str, version: &str) -> String {
    let (statement, table, version) = (Literal(statement), Literal(TABLE), Literal(version));
    format!(
        "do $ebbtide$ begin execute pg_catalog.format({statement}, \
         coalesce(pg_catalog.current_schema(), 'public'), {table}, {version}); end $ebbtide$"
    )
}

fn is_migration(path: &Path) -> bool {
    is_sql_file(path) && version(name_of(path)).is_some()
}

/// The files in the order of their names, which is dbmate's order: `10_a.sql` is before `2_b.sql`.
fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = sql_files(dir)?;
    paths.retain(|path| is_migration(path));
    Ok(paths)
}

/// The version and the rest of a file's name. The version is the digits as they are.
fn version(name: &str) -> Option<(String, &str)> {
    let stem = name.strip_suffix(".sql")?;
    let rest = stem.trim_start_matches(|c: char| c.is_ascii_digit());
    let version = &stem[..stem.len() - rest.len()];
    (!version.is_empty()).then(|| (version.to_owned(), rest))
}

/// The rows that dbmate's table must hold, in its order.
fn ledger(inputs: &MigrationInputs, scripts: &[Script]) -> Result<ExpectedLedger> {
    let migrations = FILES.find(inputs, scripts)?.into_iter();
    let mut rows: Vec<_> = migrations.map(MarkedMigration::into_row).collect();
    rows.sort_by(|one, other| one.version.cmp(&other.version));
    Ok(ExpectedLedger {
        table: TABLE,
        select: "select version, null::text from schema_migrations",
        rows,
    })
}

/// The way up of a file is everything from `-- migrate:up` to `-- migrate:down`, and the way down is
/// the rest. Each is one message.
///
/// A file with several ways up is refused: a newer dbmate fails on the second one, because it writes
/// the version twice (<https://github.com/amacneil/dbmate/issues/820>). An older one runs the first
/// only.
fn parse(text: &str, direction: Direction) -> Result<Way, BrokenRule> {
    let mut ups = Vec::new();
    let mut downs = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        match directive(line) {
            Some(("up", options)) => ups.push((at, options)),
            Some(("down", options)) => downs.push((at, options)),
            _ if ups.is_empty() && !is_blank_or_comment(line) => {
                return Err(BrokenRule::new(
                    at,
                    "only comments may precede the line `-- migrate:up`",
                    "move the statement below that line",
                ));
            }
            _ => {}
        }
        at += line.len();
    }
    let (Some(&(up, up_options)), Some(&(down, down_options))) = (ups.first(), downs.first())
    else {
        let missing = if ups.is_empty() { "up" } else { "down" };
        return Err(BrokenRule::new(
            0,
            format!("there must be a line `-- migrate:{missing}`"),
            format!("add the line `-- migrate:{missing}`, as dbmate 2 requires"),
        ));
    };
    if let Some((second, _)) = ups.get(1).or(downs.get(1)) {
        return Err(BrokenRule::new(
            *second,
            "there must be one way up and one way down",
            "divide the file into several migrations",
        ));
    }
    if up > down {
        return Err(BrokenRule::new(
            down,
            "the line `-- migrate:up` must come before `-- migrate:down`",
            "exchange the two ways",
        ));
    }
    let is_off = |option: &str| option == "transaction:false";
    let (range, options) = match direction {
        Direction::Up => (up..down, up_options),
        Direction::Down => (down..text.len(), down_options),
    };
    Ok(Way {
        messages: vec![Message::part(text[range.clone()].to_owned(), range.start)],
        transaction: if options.split_whitespace().any(is_off) {
            Transaction::None
        } else {
            Transaction::Own
        },
        ranges: vec![range],
    })
}

/// The word after `-- migrate:` and the rest of the line.
fn directive(line: &str) -> Option<(&str, &str)> {
    let text = line.strip_prefix("--")?.trim();
    let text = text.strip_prefix("migrate:")?;
    Some(text.split_once(char::is_whitespace).unwrap_or((text, "")))
}

fn is_blank_or_comment(line: &str) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line.starts_with("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_digits_at_the_start() {
        assert_eq!(version("0012-a.sql"), Some(("0012".to_owned(), "-a")));
        assert_eq!(version("20260101.sql"), Some(("20260101".to_owned(), "")));
        assert_eq!(version("v1_a.sql"), None);
        assert_eq!(version("1_a.sql.bak"), None);
    }

    #[test]
    fn the_two_lines_divide_the_ways() {
        let text = "-- a note\r\n\r\n--  migrate:up  transaction:false \r\nselect 1;\r\n\
                    -- migrate:down\nselect 2;\n";
        let up = parse(text, Direction::Up).unwrap();
        assert_eq!(
            up.messages[0].text(),
            "--  migrate:up  transaction:false \r\nselect 1;\r\n"
        );
        assert_eq!(up.messages[0].offset_in_file(0), 13);
        assert_eq!(up.transaction, Transaction::None);
        let down = parse(text, Direction::Down).unwrap();
        assert_eq!(down.messages[0].text(), "-- migrate:down\nselect 2;\n");
        assert_eq!(down.transaction, Transaction::Own);
        let text = "-- migrate:up transaction:true\n-- migrate:down transaction:false";
        let [up, down] = [Direction::Up, Direction::Down].map(|it| parse(text, it).unwrap());
        assert_eq!(up.transaction, Transaction::Own);
        assert_eq!(down.transaction, Transaction::None);
        assert!(!down.has_statement());
    }

    #[test]
    fn a_file_that_dbmate_refuses_is_refused() {
        for (text, offset) in [
            ("select 1;\n-- migrate:up\n-- migrate:down\n", 0),
            ("/* a */\n-- migrate:up\n-- migrate:down\n", 0),
            ("\u{feff}-- migrate:up\n-- migrate:down\n", 0),
            ("-- migrate:up\nselect 1;\n", 0),
            ("-- migrate:down\n-- migrate:up\n", 0),
            ("-- migrate:up\n-- migrate:down\n-- migrate:up\n", 30),
            ("-- migrate:up\n-- migrate:down\n-- migrate:down\n", 30),
        ] {
            for direction in [Direction::Up, Direction::Down] {
                assert_eq!(parse(text, direction).unwrap_err().offset, offset, "{text}");
            }
        }
    }
}
