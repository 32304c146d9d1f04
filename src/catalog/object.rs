//! The objects of a schema, with their kinds and names.

use std::fmt;

use serde::{Serialize, Serializer};

/// The kind of an object in a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ObjectKind {
    /// A property of the database: `owner`, `privileges`, `encoding`, `locale`, `tablespace`,
    /// `connection limit`, `is_template`, `comment`, a security label, or a setting.
    Database,
    /// A schema in PostgreSQL's sense: a namespace.
    Schema,
    /// An extension, with its schema and version. Objects that belong to it are left out.
    Extension,
    /// An enum with its labels in order.
    Enum,
    /// A domain with its constraints.
    Domain,
    /// A composite type that `CREATE TYPE` made, not the row type of a table.
    CompositeType,
    /// A range type.
    RangeType,
    /// A sequence without its value. The sequence of an identity column is left out.
    Sequence,
    /// An ordinary, partitioned or foreign table.
    Table,
    /// A column of a table or view.
    Column,
    /// A primary key, foreign key, unique, check or exclusion constraint.
    Constraint,
    /// An index that does not belong to a constraint.
    Index,
    /// A view.
    View,
    /// A materialized view, without its rows.
    MaterializedView,
    /// A function, with the types of its arguments in its name.
    Function,
    /// A procedure, with the types of its arguments in its name.
    Procedure,
    /// An aggregate, with the types of its arguments in its name.
    Aggregate,
    /// A trigger on a table or view.
    Trigger,
    /// A row-level security policy.
    Policy,
    /// A rewrite rule, except the one that implements a view.
    Rule,
    /// A base type, or a shell type that is not defined yet.
    Type,
    /// A collation.
    Collation,
    /// A conversion between encodings.
    Conversion,
    /// A cast, named `(source as target)`.
    Cast,
    /// A transform of a type for a language.
    Transform,
    /// Extended statistics, with their target.
    Statistics,
    /// An operator, with the types of its arguments in its name.
    Operator,
    /// An operator class with its members.
    OperatorClass,
    /// An operator family with the members that belong to no class.
    OperatorFamily,
    /// An event trigger, with its state.
    EventTrigger,
    /// A procedural language.
    Language,
    /// An access method of tables or indexes.
    AccessMethod,
    /// A parser of text search.
    TextSearchParser,
    /// A template of text search.
    TextSearchTemplate,
    /// A dictionary of text search.
    TextSearchDictionary,
    /// A configuration of text search with its mappings.
    TextSearchConfiguration,
    /// A foreign-data wrapper.
    ForeignDataWrapper,
    /// A foreign server.
    Server,
    /// A user mapping, named `for role on server name`. Its options are compared if both roles may
    /// read
    /// them. A password is never printed.
    UserMapping,
    /// A publication with its tables, columns, row filters and schemas.
    Publication,
    /// A subscription. Its connection is compared if both roles may read it. A password is never
    /// printed.
    Subscription,
    /// What `ALTER DEFAULT PRIVILEGES` has set. The name leaves out the role that owns the
    /// database.
    DefaultPrivileges,
    /// Privileges of an object that is not compared itself: it belongs to PostgreSQL, to an
    /// extension, or
    /// to an identity column.
    Privileges,
}

impl ObjectKind {
    const ALL: [Self; 43] = [
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
        Self::Type,
        Self::Collation,
        Self::Conversion,
        Self::Cast,
        Self::Transform,
        Self::Statistics,
        Self::Operator,
        Self::OperatorClass,
        Self::OperatorFamily,
        Self::EventTrigger,
        Self::Language,
        Self::AccessMethod,
        Self::TextSearchParser,
        Self::TextSearchTemplate,
        Self::TextSearchDictionary,
        Self::TextSearchConfiguration,
        Self::ForeignDataWrapper,
        Self::Server,
        Self::UserMapping,
        Self::Publication,
        Self::Subscription,
        Self::DefaultPrivileges,
        Self::Privileges,
    ];

    /// The kind as SQL spells it, such as `materialized view`.
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
            Self::Type => "type",
            Self::Collation => "collation",
            Self::Conversion => "conversion",
            Self::Cast => "cast",
            Self::Transform => "transform",
            Self::Statistics => "statistics",
            Self::Operator => "operator",
            Self::OperatorClass => "operator class",
            Self::OperatorFamily => "operator family",
            Self::EventTrigger => "event trigger",
            Self::Language => "language",
            Self::AccessMethod => "access method",
            Self::TextSearchParser => "text search parser",
            Self::TextSearchTemplate => "text search template",
            Self::TextSearchDictionary => "text search dictionary",
            Self::TextSearchConfiguration => "text search configuration",
            Self::ForeignDataWrapper => "foreign-data wrapper",
            Self::Server => "server",
            Self::UserMapping => "user mapping",
            Self::Publication => "publication",
            Self::Subscription => "subscription",
            Self::DefaultPrivileges => "default privileges",
            Self::Privileges => "privileges",
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
    /// The kind of the object.
    pub kind: ObjectKind,
    /// The name, without the schema if that is `public`: `customers`, or `app.log`. A column is
    /// `customers.phone`, and a function `total(integer)`. A constraint, trigger, policy or rule is
    /// `customers_pkey on customers`.
    pub name: String,
}

impl fmt::Display for SchemaObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// The parts of an object's name.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// `None` for an object that is in no schema, such as an extension.
    pub(super) schema: Option<&'a str>,
    /// The relation that the object belongs to.
    pub(super) relation: Option<&'a str>,
    pub(super) name: &'a str,
    /// The argument types of a function, in parentheses. Empty for other objects.
    pub(super) arguments: &'a str,
}

impl SchemaObject {
    pub(super) fn at(kind: ObjectKind, place: &Place<'_>) -> Self {
        use ObjectKind::{
            Cast, Column, Constraint, Database, DefaultPrivileges, Operator, Policy, Privileges,
            Rule, Transform, Trigger, UserMapping,
        };
        let schema = match place.schema {
            None | Some("public") => String::new(),
            Some(schema) => format!("{}.", quoted_if_needed(schema)),
        };
        let own = quoted_if_needed(place.name);
        let name = match (kind, place.relation) {
            // These names are descriptions.
            (Database | Cast | Transform | UserMapping | DefaultPrivileges | Privileges, _) => {
                place.name.to_owned()
            }
            (ObjectKind::Schema, _) => own,
            (Operator, _) => format!("{schema}{}{}", place.name, place.arguments),
            (Column, Some(relation)) => format!("{schema}{}.{own}", quoted_if_needed(relation)),
            (Constraint | Trigger | Policy | Rule, Some(relation)) => {
                format!("{own} on {schema}{}", quoted_if_needed(relation))
            }
            _ => format!("{schema}{own}{}", place.arguments),
        };
        Self { kind, name }
    }
}

/// A name, in quotes if it contains other characters than lower-case letters, digits and
/// underscores.
///
/// Not by `quote_ident`, which also quotes keywords. Keywords differ from version to version, and a
/// name must be equal on both servers that are compared.
fn quoted_if_needed(name: &str) -> String {
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
