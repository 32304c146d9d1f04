//! How a full disk is recognised.

/// Whether a program's output, in the C locale, reports a full disk or an exceeded quota.
pub(super) fn is_full(text: &str) -> bool {
    text.contains("No space left on device") || text.contains("Disk quota exceeded")
}
