//! The comparison of two schemas, and its text.

use std::fmt;

use serde::Serialize;

use super::object::SchemaObject;
use super::schema::{Schema, Snapshot};

/// How a schema differs from the expected one. All lists are sorted by kind and name.
///
/// If a whole table or view is missing or extra, the objects that belong to it are not listed.
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
    /// The owner is left out if the migrations do not determine it. The expected database then
    /// belongs to the role that created it, and the role that reads the other database need not be
    /// the same.
    pub(crate) fn compare(&self, found: &Self) -> SchemaDiff {
        let mut diff = self.schema.compare(&found.schema);
        if let Some((owner, role)) = self.schema.owner()
            && role == self.role
            && found.role != self.role
        {
            diff.different
                .retain(|difference| difference.object != owner);
        }
        diff
    }
}

impl SchemaDiff {
    pub(super) fn between(expected: &Schema, found: &Schema) -> Self {
        let different = expected.objects.iter().filter_map(|(object, expected)| {
            let found = found.objects.get(object)?;
            (expected.text != found.text).then(|| Difference {
                object: object.clone(),
                expected: expected.text.clone(),
                found: found.text.clone(),
            })
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

/// The objects of `complete` that `schema` lacks.
fn missing_from(schema: &Schema, complete: &Schema) -> Vec<SchemaObject> {
    let lacks = |object: &SchemaObject| !schema.objects.contains_key(object);
    let objects = complete.objects.iter().filter(|(object, definition)| {
        let is_listed_by_owner = definition.owner.as_ref().is_some_and(lacks);
        lacks(object) && !is_listed_by_owner
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
