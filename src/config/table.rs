//! How a plan prints: as an aligned table.

use std::fmt;
use std::path::PathBuf;

use unicode_width::UnicodeWidthStr as _;

use super::key_type::KeyType;
use super::keys::Plan;
use super::row::Row;
use super::source::Sourced;

/// The widest value that still widens its column. A longer value only moves its own source to the
/// right.
const MAX_VALUE_WIDTH: usize = 48;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = rows(self);
        let keys = rows.iter().map(|row| row.key.width()).max().unwrap_or(0);
        let values = rows
            .iter()
            .map(|row| row.value.width())
            .filter(|width| *width <= MAX_VALUE_WIDTH)
            .max();
        let values = values.unwrap_or(0);
        for (index, row) in rows.iter().enumerate() {
            let line_feed = if index == 0 { "" } else { "\n" };
            let Row {
                key,
                value,
                source,
                unused_by,
            } = row;
            let pad = |text: &str, columns: usize| " ".repeat(columns.saturating_sub(text.width()));
            let (key_pad, value_pad) = (pad(key, keys), pad(value, values));
            write!(f, "{line_feed}{key}{key_pad}  {value}{value_pad}  {source}")?;
            if let Some(backend) = unused_by {
                write!(f, " (not used by backend {backend})")?;
            }
        }
        Ok(())
    }
}

/// The row of a key.
pub(super) fn value_of(plan: &Plan, key: &str) -> Option<Sourced<String>> {
    let row = rows(plan).into_iter().find(|row| row.key == key)?;
    Some(Sourced::new(row.value, row.source.clone()))
}

/// All keys, and what else the plan depends on, except `PATH`, which is long and rarely helps. The
/// slot has a row only under nextest, and the name only a named plan.
fn rows(plan: &Plan) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    if let Some(name) = plan.name.get() {
        rows.push(Row::new("plan", name, &plan.name.source));
    }
    rows.extend(plan.rows_of_keys());
    rows.extend(<Option<String>>::rows(
        "package",
        &plan.package_name,
        "unknown",
    ));
    rows.extend(PathBuf::rows("package_root", &plan.package_root, ""));
    rows.extend(<Option<PathBuf>>::rows(
        "config_file",
        &plan.config_file,
        "none",
    ));
    if let Some(slot) = plan.slot.get() {
        rows.push(Row::new("slot", slot.to_string(), &plan.slot.source));
    }
    rows
}
