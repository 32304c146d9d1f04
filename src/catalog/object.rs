//! What a schema consists of.

use std::fmt;

use serde::{Serialize, Serializer};

/// The kind of a schema's object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ObjectKind {
    /// What the server keeps about the database: `owner`, `privileges`, `connection limit`, `comment`, and each setting.
    Database,
    /// A schema in PostgreSQL's sense, a name space.
    Schema,
    /// An extension, with its version. What belongs to it is not looked at.
    Extension,
    /// An enum with its labels in order.
    Enum,
    /// A domain with its constraints.
    Domain,
    /// A composite type of its own, not that of a table.
    CompositeType,
    /// A range type.
    RangeType,
    /// A sequence, unless it is an identity column's, and without its value.
    Sequence,
    /// An ordinary, partitioned or foreign table.
    Table,
    /// A table's column.
    Column,
    /// A primary key, foreign key, unique, check or exclusion constraint.
    Constraint,
    /// An index that is not a constraint's.
    Index,
    /// A view.
    View,
    /// A materialized view, without its rows.
    MaterializedView,
    /// A function, with its arguments' types in its name.
    Function,
    /// A procedure, with its arguments' types in its name.
    Procedure,
    /// An aggregate, with its arguments' types in its name.
    Aggregate,
    /// A trigger of a table or view.
    Trigger,
    /// A policy of row level security.
    Policy,
    /// A rewrite rule that is not a view's own.
    Rule,
}

impl ObjectKind {
    const ALL: [Self; 20] = [
        Self::Database,
        Self::Schema,
        Self::Extension,
        Self::Enum,
        Self::Domain,
        Self::CompositeType,
        Self::RangeType,
        Self::Sequence,
        Self::Table,
        Self::Column,
        Self::Constraint,
        Self::Index,
        Self::View,
        Self::MaterializedView,
        Self::Function,
        Self::Procedure,
        Self::Aggregate,
        Self::Trigger,
        Self::Policy,
        Self::Rule,
    ];

    /// The kind in SQL's words, such as `materialized view`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Schema => "schema",
            Self::Extension => "extension",
            Self::Enum => "enum",
            Self::Domain => "domain",
            Self::CompositeType => "composite type",
            Self::RangeType => "range type",
            Self::Sequence => "sequence",
            Self::Table => "table",
            Self::Column => "column",
            Self::Constraint => "constraint",
            Self::Index => "index",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::Function => "function",
            Self::Procedure => "procedure",
            Self::Aggregate => "aggregate",
            Self::Trigger => "trigger",
            Self::Policy => "policy",
            Self::Rule => "rule",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for ObjectKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One object of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct SchemaObject {
    /// What it is.
    pub kind: ObjectKind,
    /// Its name, without the schema where that is `public`: `customers`, `app.log`, `customers.phone` for a column,
    /// `customers_pkey on customers` for a constraint, trigger, policy or rule, `total(integer)` for a function.
    pub name: String,
}

impl fmt::Display for SchemaObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Where an object's name stands in the catalog.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// None for what lives in no schema.
    pub(super) schema: Option<&'a str>,
    /// The relation that it belongs to.
    pub(super) relation: Option<&'a str>,
    pub(super) name: &'a str,
    /// A function's arguments.
    pub(super) arguments: &'a str,
}

impl SchemaObject {
    pub(super) fn at(kind: ObjectKind, place: &Place<'_>) -> Self {
        use ObjectKind::{Column, Constraint, Database, Extension, Policy, Rule, Schema, Trigger};
        let schema = match place.schema {
            None | Some("public") => String::new(),
            Some(schema) => format!("{}.", shown(schema)),
        };
        let own = shown(place.name);
        let name = match (kind, place.relation) {
            (Database, _) => place.name.to_owned(),
            (Schema | Extension, _) => own,
            (Column, Some(relation)) => format!("{schema}{}.{own}", shown(relation)),
            (Constraint | Trigger | Policy | Rule, Some(relation)) => {
                format!("{own} on {schema}{}", shown(relation))
            }
            _ => format!("{schema}{own}{}", place.arguments),
        };
        Self { kind, name }
    }
}

/// In quotes only where one would have to write them. `quote_ident` knows each version's own keywords, and a name must
/// be the same on both servers.
fn shown(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain {
        name.to_owned()
    } else {
        crate::names::Ident(name).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in ObjectKind::ALL {
            assert_eq!(ObjectKind::named(kind.as_str()), Some(kind));
        }
    }

    #[test]
    fn names_are_unambiguous() {
        let name = |kind, schema, relation, name| {
            SchemaObject::at(
                kind,
                &Place {
                    schema: Some(schema),
                    relation,
                    name,
                    arguments: "",
                },
            )
            .name
        };
        assert_eq!(name(ObjectKind::Table, "app", None, "log"), "app.log");
        assert_eq!(
            name(ObjectKind::Table, "public", None, "app.log"),
            r#""app.log""#
        );
        assert_eq!(
            name(ObjectKind::Column, "public", Some("Log"), "at"),
            r#""Log".at"#
        );
        assert_eq!(
            name(ObjectKind::Policy, "app", Some("log"), "mine"),
            "mine on app.log"
        );
    }
}
