//! The comparison of two schemas, and its text.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::aspect::Aspect;
use super::definition::Definition;
use super::object::{ObjectKind, SchemaObject};
use super::schema::{Schema, Snapshot};

/// How a schema differs from the expected one. All lists are sorted by kind and name.
///
/// If a whole table or view is missing or extra, the objects that belong to it are not listed. A
/// change of a partitioned table that its partitions share is listed once.
///
/// # Examples
/// ```
/// let nothing = ebbtide::schema::SchemaDiff::default();
/// assert!(nothing.is_clean());
/// assert_eq!(nothing.to_string(), "no difference");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SchemaDiff {
    /// Objects that are expected and were not found.
    pub missing: Vec<SchemaObject>,
    /// Objects that were found and are not expected.
    pub extra: Vec<SchemaObject>,
    /// Objects that were found with another definition.
    pub different: Vec<Difference>,
}

/// An object with two definitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// The kind and name of the object.
    #[serde(flatten)]
    pub object: SchemaObject,
    /// The complete expected definition.
    pub expected: String,
    /// The complete definition that was found.
    pub found: String,
}

impl Schema {
    /// Compares `found` with this schema, which is the expected one.
    #[must_use]
    pub fn compare(&self, found: &Self) -> SchemaDiff {
        SchemaDiff::between(self, found)
    }
}

impl Snapshot {
    /// Compares `found` with this snapshot, which is the expected one.
    ///
    /// An owner is left out if the migrations do not determine it. The expected object then belongs
    /// to the role that ran the migrations, and the role that reads the other database need not be
    /// the same.
    pub(crate) fn compare(&self, found: &Self) -> SchemaDiff {
        if found.role == self.role {
            return self.schema.compare(&found.schema);
        }
        let (mut expected, mut found) = (self.schema.clone(), found.schema.clone());
        let own = format!("owner: {}", self.role);
        for (object, definition) in &mut expected.objects {
            if definition.aspect(Aspect::Owners) == Some(&own) {
                definition.remove(Aspect::Owners);
                if let Some(other) = found.objects.get_mut(object) {
                    other.remove(Aspect::Owners);
                }
            }
        }
        let owner = Schema::owner();
        if expected
            .objects
            .get(&owner)
            .is_some_and(|definition| definition.text() == self.role)
        {
            expected.objects.remove(&owner);
            found.objects.remove(&owner);
        }
        expected.compare(&found)
    }
}

impl SchemaDiff {
    pub(super) fn between(expected: &Schema, found: &Schema) -> Self {
        let differences: BTreeMap<&SchemaObject, (String, String)> = expected
            .objects
            .iter()
            .filter_map(|(object, definition)| {
                let found = found.objects.get(object)?;
                Some((object, definition.difference(found)?))
            })
            .collect();
        let is_listed_by_original = |object: &SchemaObject, texts: &(String, String)| {
            let original = expected.objects[object].original.as_ref();
            original.and_then(|original| differences.get(original)) == Some(texts)
        };
        let different = differences
            .iter()
            .filter(|(object, texts)| !is_listed_by_original(object, texts))
            .map(|(object, (expected, found))| Difference {
                object: (*object).clone(),
                expected: expected.clone(),
                found: found.clone(),
            });
        Self {
            missing: missing_from(found, expected),
            extra: missing_from(expected, found),
            different: different.collect(),
        }
    }

    /// Whether the schemas are the same.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.different.is_empty()
    }
}

/// The objects of `complete` that `schema` lacks. Left out are those that another entry implies:
/// - parts of a table or view that is lacking, too
/// - columns of a view, because the definition of the view differs
/// - parts of a partition if the partitioned table lacks the same part
fn missing_from(schema: &Schema, complete: &Schema) -> Vec<SchemaObject> {
    let lacks = |object: &SchemaObject| !schema.objects.contains_key(object);
    let is_implied = |definition: &Definition| {
        let by_container = definition.container.as_ref().is_some_and(lacks);
        let by_original = definition
            .original
            .as_ref()
            .is_some_and(|original| complete.objects.contains_key(original) && lacks(original));
        by_container || by_original
    };
    let is_of_a_view = |object: &SchemaObject, definition: &Definition| {
        let container = definition.container.as_ref();
        object.kind == ObjectKind::Column
            && container.is_some_and(|container| container.kind != ObjectKind::Table)
    };
    let objects = complete.objects.iter().filter(|(object, definition)| {
        lacks(object) && !is_implied(definition) && !is_of_a_view(object, definition)
    });
    objects.map(|(object, _)| object.clone()).collect()
}

/// Lists missing, extra and different objects. Of long definitions it prints only the lines that
/// differ.
impl fmt::Display for SchemaDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("no difference");
        }
        let mut lines = Vec::new();
        for (title, objects) in [("missing", &self.missing), ("extra", &self.extra)] {
            if !objects.is_empty() {
                lines.push(format!("{title} ({}):", objects.len()));
                lines.extend(objects.iter().map(|object| format!("  {object}")));
            }
        }
        if !self.different.is_empty() {
            lines.push(format!("different ({}):", self.different.len()));
            for difference in &self.different {
                lines.push(format!("  {}", difference.object));
                let (expected, found) = differing_lines(&difference.expected, &difference.found);
                push_definition(&mut lines, "expected:", &expected);
                push_definition(&mut lines, "found:   ", &found);
            }
        }
        f.write_str(&lines.join("\n"))
    }
}

/// The lines of two texts without those that both texts begin with or end with.
fn differing_lines<'a>(one: &'a str, other: &'a str) -> (Vec<&'a str>, Vec<&'a str>) {
    let (mut one, mut other): (Vec<_>, Vec<_>) = (one.lines().collect(), other.lines().collect());
    while one.last().is_some_and(|last| other.last() == Some(last)) {
        one.pop();
        other.pop();
    }
    let same = one
        .iter()
        .zip(&other)
        .take_while(|(one, other)| one == other)
        .count();
    (one.split_off(same), other.split_off(same))
}

fn push_definition(lines: &mut Vec<String>, title: &str, text: &[&str]) {
    match text {
        [] => lines.push(format!("    {title} nothing")),
        [line] => lines.push(format!("    {title} {}", line.trim())),
        many => {
            lines.push(format!("    {}", title.trim_end()));
            lines.extend(many.iter().map(|line| format!("      {line}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_differing_lines_are_listed() {
        assert_eq!(
            differing_lines("a\nb\nc", "a\nx\ny\nc"),
            (vec!["b"], vec!["x", "y"])
        );
        assert_eq!(differing_lines("a", "a\nb"), (vec![], vec!["b"]));
        assert_eq!(differing_lines("a\na", "a"), (vec!["a"], vec![]));
    }
}
