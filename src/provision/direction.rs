//! The direction in which a part of a migration changes the schema.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::provision) enum Direction {
    Up,
    Down,
}
