//! Alembic's ledger. A migration command runs the tool.

use super::tool::Tool;
use crate::catalog::LedgerLayout;

pub(super) static TOOL: Tool = Tool {
    // It contains the heads only.
    ledger: Some(LedgerLayout {
        table: "alembic_version",
        latest: "string_agg(version_num, ', ' order by version_num)",
        counts: "true",
        dirty: None,
    }),
    ledger_label: None,
    directory: None,
};
