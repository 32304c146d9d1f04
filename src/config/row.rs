//! One row of a printed plan.

use super::source::Source;

/// A key, its value as text, and where the value came from.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) source: &'a Source,
}

impl<'a> Row<'a> {
    pub(super) fn new(key: impl Into<String>, value: impl AsRef<str>, source: &'a Source) -> Self {
        // A line feed in a setting must not break the table.
        let value = value.as_ref().replace('\n', "\\n");
        Self {
            key: key.into(),
            value,
            source,
        }
    }
}
