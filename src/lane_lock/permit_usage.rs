//! Who holds the permits of a server, and who waits for them.

use std::collections::HashSet;
use std::time::Instant;

/// What the permits of a server show at one moment.
#[derive(Debug)]
pub(super) struct PermitUsage {
    pub(super) server: String,
    /// Whether this process holds all permits. Those of another process may come back at any time.
    pub(super) is_full: bool,
    pub(super) holding: HashSet<String>,
    pub(super) waiting: HashSet<String>,
    /// When this process last released a permit.
    pub(super) last_release: Instant,
}
