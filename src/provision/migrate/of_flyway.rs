//! Flyway's ledger. A migration command runs the tool.

use super::tool::Tool;
use crate::catalog::LedgerLayout;

pub(super) static TOOL: Tool = Tool {
    ledger: Some(LedgerLayout {
        table: "flyway_schema_history",
        latest: "(array_agg(version order by installed_rank desc))[1]",
        counts: "success and version is not null",
        dirty: Some("not success"),
    }),
    ledger_label: None,
    directory: None,
};
