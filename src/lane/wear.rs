//! How many tests use a lane before it is copied again.

/// The number of uses after which a lane is worn and copied again. A test that was rolled back
/// counts as one use for each row that it wrote, and at least as one. The rows stay in the tables
/// as dead rows.
pub(super) const MAX_USES: u32 = 5_000;
/// The number of uses that a test that committed counts for. Each reset leaves dead rows in the
/// catalogs, and empty files that the server removes only when the lane is dropped.
pub(super) const USES_PER_COMMIT: u32 = 10;
/// The number of uses after which the sizes of the tables are checked.
pub(super) const USES_BETWEEN_SIZE_CHECKS: u32 = 32;
