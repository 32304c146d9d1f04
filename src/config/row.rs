//! One row of a printed plan.

use super::source::Source;
use super::value::Backend;

/// A key, its value as text, and where the value came from.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) source: &'a Source,
    /// The selected backend, if it does not use a value that a source has.
    pub(super) unused_by: Option<Backend>,
}

impl<'a> Row<'a> {
    pub(super) fn new(key: impl Into<String>, value: impl AsRef<str>, source: &'a Source) -> Self {
        // A line feed in a setting must not break the table.
        let value = value.as_ref().replace('\n', "\\n");
        Self {
            key: key.into(),
            value,
            source,
            unused_by: None,
        }
    }

    /// Marks a value that the selected backend does not use. A default has no mark, because no
    /// person expects an effect of it.
    pub(super) fn mark_as_unused_by(&mut self, backend: Backend) {
        self.unused_by = (*self.source != Source::Default).then_some(backend);
    }
}
