//! What the database must contain before a test runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::document::Entry;
use super::key::Key;
use super::key_type::KeyType;
use super::source::Sourced;
use super::value::without_repeats;
use crate::error::Result;
use crate::names::PartsHash;

/// What the provisioned database must contain before a test may use it.
///
/// Give it to [`Builder::expect`](crate::config::Builder::expect) for every test, or to
/// [`Setup::expect`](crate::Setup::expect) for some tests. `ebbtide.toml` has the same expectations
/// below `[provision.expect]`, and a test's attribute has them in `expect(...)`.
///
/// Names are written as in SQL: with the schema unless that is `public`. If an expectation does not
/// hold, provisioning fails before any test runs, and the error lists all that do not hold.
///
/// # Examples
/// ```
/// use ebbtide::config::Expect;
///
/// let expect = Expect::new()
///     .table("customers")
///     .rows("services", 15)
///     .enum_labels("mood", ["sad", "happy"]);
/// let builder = ebbtide::Harness::builder().expect(expect);
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "expectations do nothing until a builder or a setup has them"]
pub struct Expect {
    pub(crate) tables: Vec<String>,
    /// The exact number of rows, by table.
    pub(crate) rows: BTreeMap<String, u64>,
    /// The labels in order, by enum type.
    pub(crate) enums: BTreeMap<String, Vec<String>>,
    /// The enums of the code under test.
    pub(crate) rust_enums: BTreeSet<RustEnum>,
    /// Names or patterns of tables that must have row level security.
    pub(crate) row_security: Vec<String>,
    /// A role to which row level security must apply.
    pub(crate) role: Option<String>,
}

/// An enum of the code under test. The database must have the same labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RustEnum {
    /// The type's path in Rust.
    pub(crate) path: String,
    /// The enum type in the database.
    pub(crate) name: String,
    /// The labels that the code sends and reads, in the order of the variants.
    pub(crate) labels: Vec<String>,
}

/// A Rust enum that is stored as an enum type of PostgreSQL, and the labels that the code sends and
/// reads.
///
/// The derive macro of the same name takes the labels from the attributes of `sqlx::Type`, of
/// strum, or from its own.
///
/// Pass the type to [`Expect::enum_of`](crate::config::Expect::enum_of), or name it in a test's
/// attribute: `expect(enums(UserRole))`. Ebbtide then compares its labels with those of the database
/// before any test runs, and reports a label that only one side has.
///
/// # Examples
/// ```
/// use ebbtide::PgEnum;
///
/// #[derive(PgEnum)]
/// #[pg_enum(name = "userrole", rename_all = "lowercase")]
/// enum UserRole {
///     Writer,
///     Editor,
///     #[pg_enum(rename = "administrator")]
///     Admin,
/// }
///
/// assert_eq!(UserRole::NAME, "userrole");
/// assert_eq!(UserRole::LABELS, ["writer", "editor", "administrator"]);
/// ```
///
/// Without the macro:
/// ```
/// struct Mood;
///
/// impl ebbtide::PgEnum for Mood {
///     const NAME: &'static str = "mood";
///     const LABELS: &'static [&'static str] = &["sad", "happy"];
/// }
/// ```
pub trait PgEnum {
    /// The enum type in the database, written as in SQL: with its schema unless that is `public`.
    /// Letters outside double quotes count as lower case.
    const NAME: &'static str;
    /// The label of each variant, in the order of the variants.
    const LABELS: &'static [&'static str];
}

impl RustEnum {
    fn of<T: PgEnum>() -> Self {
        let labels = T::LABELS.iter().map(ToString::to_string).collect();
        Self {
            path: std::any::type_name::<T>().to_owned(),
            name: T::NAME.to_owned(),
            labels,
        }
    }
}

impl Expect {
    /// Creates a value without any expectation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires a table to exist.
    ///
    /// Key `provision.expect.tables`.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.tables.push(name.into());
        self
    }

    /// Requires a table to have exactly `count` rows. A second call for the table replaces the
    /// count.
    ///
    /// Key `provision.expect.rows`.
    pub fn rows(mut self, table: impl Into<String>, count: u64) -> Self {
        self.rows.insert(table.into(), count);
        self
    }

    /// Requires an enum type to have exactly these labels, in this order. A second call for the
    /// type replaces the labels.
    ///
    /// Key `provision.expect.enums`.
    pub fn enum_labels(
        mut self,
        name: impl Into<String>,
        labels: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let labels = labels.into_iter().map(Into::into).collect();
        self.enums.insert(name.into(), labels);
        self
    }

    /// Requires an enum type to have the labels of the Rust enum `T`, in any order.
    ///
    /// If they differ, the error lists the labels of both sides, and those that only one side has.
    pub fn enum_of<T: PgEnum>(mut self) -> Self {
        self.rust_enums.insert(RustEnum::of::<T>());
        self
    }

    /// Requires tables to have row level security: enabled, forced for the owner, and with at least
    /// one policy (<https://www.postgresql.org/docs/current/ddl-rowsecurity.html>).
    ///
    /// `tables` is the name of a table, or a pattern in which `*` stands for any characters. A
    /// pattern without a table is an error.
    ///
    /// Key `provision.expect.row_security`.
    pub fn row_security(mut self, tables: impl Into<String>) -> Self {
        self.row_security.push(tables.into());
        self
    }

    /// Requires a role to which row level security applies: it exists, is no superuser, may not
    /// bypass row level security, owns no table, and is a member of no role that does.
    ///
    /// Key `provision.expect.role`.
    pub fn role(self, name: impl Into<String>) -> Self {
        Self {
            role: Some(name.into()),
            ..self
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds every expectation to the fingerprint of a database.
    pub(crate) fn hash_into(&self, hash: &mut PartsHash) {
        // Without `..`: a new expectation does not compile until it is here.
        let Self {
            tables,
            rows,
            enums,
            rust_enums,
            row_security,
            role,
        } = self;
        hash.list("tables", tables);
        hash.list("tables with rows", rows.keys());
        hash.list("rows", rows.values().map(ToString::to_string));
        hash.list("enums", enums.keys());
        for labels in enums.values() {
            hash.list("labels", labels);
        }
        hash.part("rust enums", rust_enums.len().to_string());
        for RustEnum { path, name, labels } in rust_enums {
            hash.part("path", path);
            hash.part("name", name);
            hash.list("labels", labels);
        }
        hash.list("row security", row_security);
        hash.list("restricted role", role.as_slice());
    }

    /// Merges two expectations. For the same table or type, the value of `self` counts.
    pub(crate) fn over(self, weaker: Expect) -> Expect {
        let (mut tables, mut rows, mut enums) = (weaker.tables, weaker.rows, weaker.enums);
        tables.extend(self.tables);
        rows.extend(self.rows);
        enums.extend(self.enums);
        let mut rust_enums = weaker.rust_enums;
        rust_enums.extend(self.rust_enums);
        let mut row_security = weaker.row_security;
        row_security.extend(self.row_security);
        Expect {
            tables: without_repeats(tables),
            rows,
            enums,
            rust_enums,
            row_security: without_repeats(row_security),
            role: self.role.or(weaker.role),
        }
    }
}

// The parts of the table in `ebbtide.toml`.
const TABLES: Key = Key::part(
    "provision.expect.tables",
    "expect",
    r#"a list of names, such as ["customers"]"#,
);
const ROWS: Key = Key::part(
    "provision.expect.rows",
    "expect",
    "whole numbers by table, such as { services = 15 }",
);
const ENUMS: Key = Key::part(
    "provision.expect.enums",
    "expect",
    r#"labels by type, such as { mood = ["sad", "happy"] }"#,
);
const ROW_SECURITY: Key = Key::part(
    "provision.expect.row_security",
    "expect",
    r#"a list of tables or patterns, such as ["orders", "tenant_*"]"#,
);
const ROLE: Key = Key::part(
    "provision.expect.role",
    "expect",
    r#"the name of a role, such as "app""#,
);

impl KeyType for Expect {
    type Value = Expect;

    fn from_file(key: &'static Key, entry: &Entry<'_>, _dir: &Path) -> Result<Sourced<Self>> {
        let mut expect = Expect::default();
        for part in entry.table(key.legal)? {
            match part.name {
                "tables" => expect.tables = without_repeats(part.list(&TABLES)?),
                "rows" => expect.rows = part.counts(&ROWS)?,
                "enums" => expect.enums = part.lists(&ENUMS)?,
                "row_security" => {
                    expect.row_security = without_repeats(part.list(&ROW_SECURITY)?);
                }
                "role" => expect.role = Some(part.text(&ROLE)?.not_blank()?.value),
                _ => {
                    let legal = [&TABLES, &ROWS, &ENUMS, &ROW_SECURITY, &ROLE];
                    return Err(part.unknown_key(&legal.map(Key::name)));
                }
            }
        }
        Ok(Sourced::new(expect, entry.source()))
    }

    /// Merges by name.
    fn over(strong: Sourced<Self>, weak: Sourced<Self>) -> Sourced<Self> {
        Sourced::new(
            strong.value.over(weak.value),
            strong.source.and(weak.source),
        )
    }

    fn print(value: &Self, absent: &str) -> String {
        if value.is_empty() {
            return absent.to_owned();
        }
        let counts = [
            ("table", value.tables.len()),
            ("row count", value.rows.len()),
            ("enum", value.enums.len() + value.rust_enums.len()),
            ("row security pattern", value.row_security.len()),
            ("role", usize::from(value.role.is_some())),
        ];
        let phrases = counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(noun, count)| match count {
                1 => format!("1 {noun}"),
                _ => format!("{count} {noun}s"),
            });
        phrases.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_merged_by_name() {
        let strong = Expect::new().table("a").table("b").rows("a", 1);
        let weak = Expect::new().table("b").table("c").rows("a", 2);
        let expected = Expect::new().table("b").table("c").table("a").rows("a", 1);
        assert_eq!(strong.over(weak), expected);
    }
}
