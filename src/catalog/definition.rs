//! The definition of one object, and how two of them differ.

use std::collections::BTreeMap;

use super::aspect::Aspect;
use super::object::SchemaObject;

/// The definition of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Definition {
    /// Everything that every role may read, without the order of the columns.
    text: String,
    /// The part of `text` that no [`Aspect`] covers.
    core: String,
    /// The other parts of `text`.
    aspects: BTreeMap<Aspect, String>,
    /// The names of a table's columns, in order.
    columns: Vec<String>,
    restricted: Option<Restricted>,
    /// The table or view that the object belongs to.
    pub(super) container: Option<SchemaObject>,
    /// The object of the partitioned table that makes this object of a partition.
    pub(super) original: Option<SchemaObject>,
}

/// What only some roles may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Restricted {
    /// The text without passwords.
    pub(super) text: String,
    /// The hash of the text with its passwords. It is only compared: no report contains it, because
    /// it allows guessing a weak password.
    pub(super) digest: String,
}

impl Definition {
    pub(super) fn new(
        core: String,
        aspects: BTreeMap<Aspect, String>,
        columns: Vec<String>,
        restricted: Option<Restricted>,
    ) -> Self {
        let mut definition = Self {
            core,
            aspects,
            columns,
            restricted,
            ..Self::default()
        };
        definition.join();
        definition
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The line of one aspect, if the definition has one.
    pub(super) fn aspect(&self, aspect: Aspect) -> Option<&str> {
        self.aspects.get(&aspect).map(String::as_str)
    }

    pub(super) fn remove(&mut self, aspect: Aspect) {
        if aspect == Aspect::ColumnOrder {
            self.columns.clear();
        }
        if self.aspects.remove(&aspect).is_some() {
            self.join();
        }
    }

    fn join(&mut self) {
        let parts = std::iter::once(self.core.trim())
            .chain(self.aspects.values().map(String::as_str))
            .filter(|part| !part.is_empty());
        self.text = parts.collect::<Vec<_>>().join("\n");
    }

    /// Both definitions, if they differ.
    ///
    /// The order of the columns counts only for those that both tables have. What only some roles
    /// may read counts if both roles have read it.
    pub(super) fn difference(&self, found: &Self) -> Option<(String, String)> {
        let mut texts = [vec![self.text.clone()], vec![found.text.clone()]];
        if let (Some(one), Some(other)) = (&self.restricted, &found.restricted) {
            texts[0].push(one.text.clone());
            texts[1].push(other.text.clone());
            if one.text == other.text && one.digest != other.digest {
                texts[0].push("password: ***".into());
                texts[1].push("password: another one".into());
            }
        }
        let orders = [
            common(&self.columns, &found.columns),
            common(&found.columns, &self.columns),
        ];
        if orders[0] != orders[1] {
            for (text, order) in texts.iter_mut().zip(orders) {
                text.push(format!("order of columns: {}", order.join(", ")));
            }
        }
        let [one, other] = texts.map(|mut parts| {
            parts.retain(|part| !part.is_empty());
            parts.join("\n")
        });
        (one != other).then_some((one, other))
    }
}

/// The names that both lists have, in the order of the first.
fn common<'a>(names: &'a [String], others: &[String]) -> Vec<&'a str> {
    let others: std::collections::BTreeSet<&String> = others.iter().collect();
    names
        .iter()
        .filter(|name| others.contains(name))
        .map(String::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_columns(columns: &[&str]) -> Definition {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        Definition::new("permanent".into(), BTreeMap::new(), columns, None)
    }

    #[test]
    fn the_order_of_columns_counts_only_for_common_ones() {
        let expected = with_columns(&["a", "b", "c"]);
        assert_eq!(expected.difference(&with_columns(&["a", "new", "c"])), None);
        let (one, other) = expected
            .difference(&with_columns(&["c", "new", "a"]))
            .expect("the order differs");
        assert_eq!(one, "permanent\norder of columns: a, c");
        assert_eq!(other, "permanent\norder of columns: c, a");
    }

    #[test]
    fn another_password_is_reported_and_not_printed() {
        let mapping = |digest: &str| {
            let restricted = Restricted {
                text: "options (password '***')".into(),
                digest: digest.into(),
            };
            Definition::new(String::new(), BTreeMap::new(), Vec::new(), Some(restricted))
        };
        assert_eq!(mapping("1").difference(&mapping("1")), None);
        let (_, found) = mapping("1")
            .difference(&mapping("2"))
            .expect("the password differs");
        assert_eq!(found, "options (password '***')\npassword: another one");
        let hidden = Definition::default();
        assert_eq!(hidden.difference(&mapping("1")), None);
    }
}
