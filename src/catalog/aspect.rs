//! The parts of a schema that a comparison can leave out.

use super::object::{ObjectKind, SchemaObject};

/// A part of a schema that a comparison can leave out, by [`Schema::without`] or
/// [`Harness::diff_without`].
///
/// A comparison leaves nothing of this out by itself.
///
/// [`Schema::without`]: crate::schema::Schema::without
/// [`Harness::diff_without`]: crate::Harness::diff_without
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Aspect {
    /// The version of each extension. `pg_dump` leaves it out.
    ExtensionVersions,
    /// Whether a materialized view is populated. `pg_dump --schema-only` leaves it out.
    Population,
    /// The order of a table's columns. An altered table may have another order than a new one.
    ColumnOrder,
    /// The tablespaces of the database, tables, indexes and materialized views.
    Tablespaces,
    /// The encoding and locale of the database.
    Locale,
    /// The owners of the database and its objects.
    Owners,
    /// The privileges of the database and its objects, and default privileges.
    Privileges,
    /// The security labels of the database and its objects.
    SecurityLabels,
    /// The comments on the database and its objects.
    Comments,
}

impl Aspect {
    /// Whether the object is nothing but this aspect.
    pub(super) fn is_all_of(self, object: &SchemaObject) -> bool {
        let is_property = |name: &str| object.kind == ObjectKind::Database && object.name == name;
        match self {
            Self::ExtensionVersions | Self::Population | Self::ColumnOrder => false,
            Self::Tablespaces => is_property("tablespace"),
            Self::Locale => is_property("encoding") || is_property("locale"),
            Self::Owners => is_property("owner"),
            Self::Privileges => {
                is_property("privileges")
                    || matches!(
                        object.kind,
                        ObjectKind::DefaultPrivileges | ObjectKind::Privileges
                    )
            }
            Self::SecurityLabels => {
                object.kind == ObjectKind::Database && object.name.starts_with("security label ")
            }
            Self::Comments => is_property("comment"),
        }
    }
}
