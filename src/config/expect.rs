//! What must hold before a test runs.

use std::collections::BTreeMap;

use super::value::without_repeats;

/// What the provisioned database has to hold before it may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expect {
    /// Tables that have to exist.
    pub tables: Vec<String>,
    /// The exact number of rows, by table.
    pub rows: BTreeMap<String, u64>,
    /// The labels in order, by enum type.
    pub enums: BTreeMap<String, Vec<String>>,
    /// The enums of the code under test.
    pub rust_enums: Vec<RustEnum>,
}

/// An enum of the code under test, whose values the database has to know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct RustEnum {
    /// The type's path in Rust.
    pub path: String,
    /// The enum type in the database.
    pub name: String,
    /// What the code sends and reads, in the order of the variants.
    pub labels: Vec<String>,
}

/// A Rust enum that is stored as an enum type of PostgreSQL, and the labels that the code sends and reads.
///
/// Derive it beside `sqlx::Type` or strum's traits, and it has the labels that these use; then say on
/// [`Builder::expect_enum_of`](crate::Builder::expect_enum_of), or at a test with `expect(enums(UserRole))`, that the
/// database has to have them: a label that only one side knows is found before any test runs.
///
/// # Examples
/// ```
/// # #[cfg(feature = "macros")] {
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
/// # }
/// ```
/// Where the list is known by other means:
/// ```
/// struct Mood;
///
/// impl ebbtide::PgEnum for Mood {
///     const NAME: &'static str = "mood";
///     const LABELS: &'static [&'static str] = &["sad", "happy"];
/// }
/// ```
pub trait PgEnum {
    /// The enum type in the database, written as in SQL: with its schema where the search path does not lead to it, and
    /// in lower case unless it is quoted.
    const NAME: &'static str;
    /// The label of each variant, in the order of the variants.
    const LABELS: &'static [&'static str];
}

impl RustEnum {
    pub(crate) fn of<T: PgEnum>() -> Self {
        let labels = T::LABELS.iter().map(ToString::to_string).collect();
        Self {
            path: std::any::type_name::<T>().to_owned(),
            name: T::NAME.to_owned(),
            labels,
        }
    }
}

impl Expect {
    /// True when nothing is expected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
            && self.rows.is_empty()
            && self.enums.is_empty()
            && self.rust_enums.is_empty()
    }

    /// Both expectations; on the same table or type `self` decides.
    pub(super) fn over(self, weaker: Expect) -> Expect {
        let (mut tables, mut rows, mut enums) = (weaker.tables, weaker.rows, weaker.enums);
        tables.extend(self.tables);
        rows.extend(self.rows);
        enums.extend(self.enums);
        let mut rust_enums = weaker.rust_enums;
        rust_enums.extend(self.rust_enums);
        rust_enums.sort();
        rust_enums.dedup();
        Expect {
            tables: without_repeats(tables),
            rows,
            enums,
            rust_enums,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_put_together_by_name() {
        let rows = |table: &str, count| BTreeMap::from([(table.to_owned(), count)]);
        let strong = Expect {
            tables: vec!["a".into(), "b".into()],
            rows: rows("a", 1),
            ..Expect::default()
        };
        let weak = Expect {
            tables: vec!["b".into(), "c".into()],
            rows: rows("a", 2),
            ..Expect::default()
        };
        let both = strong.over(weak);
        assert_eq!(both.tables, ["b", "c", "a"]);
        assert_eq!(both.rows, rows("a", 1));
    }
}
