//! The list of the migration tools. Code that is not about one tool iterates over the list or looks
//! a layout up with [`of`], and names no tool.

use super::known_ledgers::{COMPANIONS, LEDGERS};
use super::tool::{self, DirectoryTool, Tool};
use crate::catalog::{Columns, LedgerLayout};
use crate::config::Layout;

/// Every tool whose directories ebbtide applies. If a database has several ledgers with rows,
/// reports take the first of this order, and then of [`LEDGERS`]. Plain SQL is last, because it
/// recognises every file with SQL that no other tool recognises.
static TOOLS: &[&Tool] = &[
    &super::of_sqlx::TOOL,
    &super::of_diesel::TOOL,
    &super::of_refinery::TOOL,
    &super::of_dbmate::TOOL,
    &super::of_goose::TOOL,
    &super::of_sql_migrate::TOOL,
    &super::plain::TOOL,
];

/// The tools whose directories ebbtide applies, plain SQL last.
pub(in crate::provision) fn directories() -> impl Iterator<Item = &'static DirectoryTool> {
    TOOLS.iter().filter_map(|tool| tool.directory.as_ref())
}

/// The tool of a layout.
pub(in crate::provision) fn of(layout: Layout) -> &'static DirectoryTool {
    directories()
        .find(|tool| tool.layout == layout)
        .expect("every layout has a tool in TOOLS")
}

/// The ledger of a layout's tool. `None` if the tool has none.
pub(super) fn ledger_of(layout: Layout) -> Option<&'static LedgerLayout> {
    let has_layout = |tool: &&&Tool| {
        tool.directory
            .as_ref()
            .is_some_and(|it| it.layout == layout)
    };
    TOOLS.iter().find(has_layout)?.ledger.as_ref()
}

/// Plain SQL: the tool for files that no other tool recognises.
pub(in crate::provision) fn fallback() -> &'static DirectoryTool {
    directories().last().expect("TOOLS is not empty")
}

/// The ledgers of all tools, in the order in which they are searched for.
pub(crate) fn ledgers() -> Vec<&'static LedgerLayout> {
    TOOLS
        .iter()
        .filter_map(|tool| tool.ledger.as_ref())
        .chain(LEDGERS)
        .collect()
}

/// The tables of all tools: their ledgers, and other tables that are not the user's.
pub(in crate::provision) fn tool_tables() -> Vec<(&'static str, Columns)> {
    ledgers()
        .iter()
        .map(|ledger| (ledger.table, ledger.columns))
        .chain(COMPANIONS.iter().copied())
        .collect()
}

/// The first part of an error: the ledger, and the latest version in it.
pub(in crate::provision) fn recorded_as_applied(table: &str, latest: &str) -> String {
    let has_table = |tool: &&&Tool| tool.ledger.as_ref().is_some_and(|it| it.table == table);
    let label = TOOLS
        .iter()
        .find(has_table)
        .and_then(|tool| tool.ledger_label);
    tool::recorded_as_applied(label, table, latest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_has_one_tool_and_plain_sql_is_the_last() {
        for layout in Layout::all() {
            let tools = directories().filter(|tool| tool.layout == layout);
            assert_eq!(tools.count(), 1, "{layout}");
        }
        assert_eq!(fallback().layout, Layout::Sql);
    }
}
