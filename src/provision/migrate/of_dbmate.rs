//! dbmate migrations, with the ledger that dbmate itself would write.

use std::path::{Path, PathBuf};

use super::context::MigrationContext;
use super::expected_ledger::ExpectedLedger;
use super::marked::{BrokenRule, Marked, WayUp};
use super::marked_migration::{self, MarkedMigration};
use super::message::Message;
use super::step::{Step, Transaction};
use super::tool::{DirectoryTool, Tool};
use crate::catalog::{Columns, LedgerLayout};
use crate::config::Layout;
use crate::error::Result;
use crate::names::Literal;
use crate::provision::dir_entries::{is_sql_file, name_of, sql_files};
use crate::provision::inputs::MigrationInputs;
use crate::provision::markers::DBMATE;
use crate::provision::provision_report::MigrationReport;
use crate::provision::sql_script::Script;

const TABLE: &str = "schema_migrations";

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
        removes_byte_order_mark: false,
        marked: Some(&MARKED),
        list,
        migrate: |context, inputs| Box::pin(migrate(context, inputs)),
        verify: Some(|connection, inputs, scripts| {
            Box::pin(async move { ledger(inputs, scripts)?.verify(connection).await })
        }),
        latest: Some(|inputs| Box::pin(async { Ok(ledger(inputs, &inputs.scripts()?)?.latest()) })),
        reversals: None,
    }),
};

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

/// Applies every migration. dbmate creates its table in the first schema of the search path.
async fn migrate(
    context: &mut MigrationContext<'_>,
    inputs: &MigrationInputs,
) -> Result<Vec<MigrationReport>> {
    context
        .run("create table if not exists schema_migrations (version varchar(128) primary key)")
        .await?;
    let steps: Vec<Step<'_>> = find(inputs, context.scripts)?
        .into_iter()
        .map(|migration| {
            let version = Literal(&migration.version);
            let sql = format!("insert into {TABLE} (version) values ({version})");
            migration.into_step(TABLE, sql)
        })
        .collect();
    context.apply_all(&steps).await
}

fn find<'a>(inputs: &MigrationInputs, scripts: &'a [Script]) -> Result<Vec<MarkedMigration<'a>>> {
    marked_migration::find(&MARKED, inputs, scripts, version)
}

/// The rows that dbmate's table must hold, in its order.
fn ledger(inputs: &MigrationInputs, scripts: &[Script]) -> Result<ExpectedLedger> {
    let migrations = find(inputs, scripts)?.into_iter();
    let mut rows: Vec<_> = migrations.map(MarkedMigration::into_row).collect();
    rows.sort_by(|one, other| one.version.cmp(&other.version));
    Ok(ExpectedLedger {
        table: TABLE,
        select: "select version, null::text from schema_migrations",
        rows,
    })
}

/// The way up of a file: everything from `-- migrate:up` to `-- migrate:down`, in one message.
///
/// A file with several ways up is refused: a newer dbmate fails on the second one, because it writes
/// the version twice (<https://github.com/amacneil/dbmate/issues/820>). An older one runs the first
/// only.
fn parse(text: &str) -> Result<WayUp, BrokenRule> {
    let mut ups = Vec::new();
    let mut downs = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        match directive(line) {
            Some(("up", options)) => ups.push((at, options)),
            Some(("down", _)) => downs.push(at),
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
    let (Some((up, options)), Some(down)) = (ups.first(), downs.first()) else {
        let missing = if ups.is_empty() { "up" } else { "down" };
        return Err(BrokenRule::new(
            0,
            format!("there must be a line `-- migrate:{missing}`"),
            format!("add the line `-- migrate:{missing}`, as dbmate 2 requires"),
        ));
    };
    let second = ups.get(1).map(|(at, _)| at).or(downs.get(1));
    if let Some(second) = second {
        return Err(BrokenRule::new(
            *second,
            "there must be one way up and one way down",
            "divide the file into several migrations",
        ));
    }
    if up > down {
        return Err(BrokenRule::new(
            *down,
            "the line `-- migrate:up` must come before `-- migrate:down`",
            "exchange the two ways",
        ));
    }
    let is_off = |option: &str| option == "transaction:false";
    Ok(WayUp {
        messages: vec![Message::part(text[*up..*down].to_owned(), *up)],
        transaction: if options.split_whitespace().any(is_off) {
            Transaction::None
        } else {
            Transaction::Own
        },
        ranges: std::iter::once(*up..*down).collect(),
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
    fn the_way_up_is_what_stands_between_the_two_lines() {
        let text = "-- a note\r\n\r\n--  migrate:up  transaction:false \r\nselect 1;\r\n\
                    -- migrate:down\nselect 2;\n";
        let up = parse(text).unwrap();
        assert_eq!(
            up.messages[0].text(),
            "--  migrate:up  transaction:false \r\nselect 1;\r\n"
        );
        assert_eq!(up.messages[0].offset_in_file(0), 13);
        assert_eq!(up.transaction, Transaction::None);
        let up = parse("-- migrate:up transaction:true\n-- migrate:down").unwrap();
        assert_eq!(up.transaction, Transaction::Own);
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
            assert_eq!(parse(text).unwrap_err().offset, offset, "{text}");
        }
    }
}
