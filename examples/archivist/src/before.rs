//! How it was: the variants' names were sent instead of their values, which SQLite took for any other text.

use ebbtide::PgEnum;

/// A role, sent as `ADMIN` where the database has `admin`.
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
