//! A place between two migrations of a plan.

/// A place in the sequence of a plan's migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MigrationPlace {
    /// The sources before this one are complete.
    pub(super) source: usize,
    /// The number of this source's migrations that are applied.
    pub(super) done: usize,
    /// The revision to which this source's command has migrated.
    pub(super) revision: Option<String>,
}

impl MigrationPlace {
    pub(super) fn before_source(source: usize) -> Self {
        Self {
            source,
            done: 0,
            revision: None,
        }
    }

    /// Whether migrations must be reverted to come from `other` to here. The order of two revisions
    /// is not known, so it counts as forward.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        let key = |place: &Self| (place.source, place.done, place.revision.is_some());
        key(self) < key(other)
    }
}
