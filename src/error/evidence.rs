//! The evidence of an error, for code that makes one error of several.

use super::Error;

impl Error {
    /// The text of the block with this title.
    pub(crate) fn evidence(&self, title: &str) -> Option<&str> {
        self.inner
            .evidence
            .iter()
            .find(|(found, _)| found == title)
            .map(|(_, text)| text.as_str())
    }
}
