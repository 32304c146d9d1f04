//! The former enum, which sent the variants' names instead of their values. SQLite accepted them,
//! because it stores an enum as text.

use ebbtide::PgEnum;

/// A role. It is sent as `ADMIN`, but the database has `admin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PgEnum, sqlx::Type)]
#[sqlx(type_name = "userrole", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UserRole {
    /// Writes.
    Writer,
    /// Edits.
    Editor,
    /// Administers.
    Admin,
}
