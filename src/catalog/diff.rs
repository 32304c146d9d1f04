//! The comparison of two schemas, and how it prints.

use std::fmt;

use serde::Serialize;

use super::object::SchemaObject;
use super::schema::Schema;

/// How a schema differs from the expected one. All lists are sorted by kind and name.
///
/// What belongs to a table or view that is missing or extra as a whole is not listed beside it.
///
/// # Examples
/// ```
/// let nothing = ebbtide::SchemaDiff::default();
/// assert!(nothing.is_empty());
/// assert_eq!(nothing.to_string(), "no difference");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SchemaDiff {
    /// Expected, and not there.
    pub missing: Vec<SchemaObject>,
    /// There, and not expected.
    pub extra: Vec<SchemaObject>,
    /// There, with another definition.
    pub different: Vec<Difference>,
}

/// An object with two definitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// What it is.
    #[serde(flatten)]
    pub object: SchemaObject,
    /// The whole definition that was expected.
    pub expected: String,
    /// The whole definition that was found.
    pub found: String,
}

impl SchemaDiff {
    pub(super) fn between(expected: &Schema, found: &Schema) -> Self {
        let different = expected.objects.iter().filter_map(|(object, wanted)| {
            let is = found.objects.get(object)?;
            (wanted.text != is.text).then(|| Difference {
                object: object.clone(),
                expected: wanted.text.clone(),
                found: is.text.clone(),
            })
        });
        Self {
            missing: lacking(found, expected),
            extra: lacking(expected, found),
            different: different.collect(),
        }
    }

    /// Whether the schemas are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.different.is_empty()
    }

    /// The lists as a JSON object with the keys `missing`, `extra` and `different`, over several lines.
    #[must_use]
    pub fn to_json(&self) -> String {
        json(self)
    }
}

fn json(diff: &SchemaDiff) -> String {
    serde_json::to_string_pretty(diff).expect("lists of texts can be written as JSON")
}

/// What `here` has not and `there` has.
fn lacking(here: &Schema, there: &Schema) -> Vec<SchemaObject> {
    let lacks = |object: &SchemaObject| !here.objects.contains_key(object);
    let objects = there.objects.iter().filter(|(object, definition)| {
        let goes_with_owner = definition.owner.as_ref().is_some_and(lacks);
        lacks(object) && !goes_with_owner
    });
    objects.map(|(object, _)| object.clone()).collect()
}

/// Grouped as missing, extra and different. Of long definitions only the lines that differ are shown.
impl fmt::Display for SchemaDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
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
                let (expected, found) = differing(&difference.expected, &difference.found);
                tell(&mut lines, "expected:", &expected);
                tell(&mut lines, "found:   ", &found);
            }
        }
        f.write_str(&lines.join("\n"))
    }
}

/// Two texts without the lines that they begin and end with in common.
fn differing<'a>(one: &'a str, other: &'a str) -> (Vec<&'a str>, Vec<&'a str>) {
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

fn tell(lines: &mut Vec<String>, title: &str, text: &[&str]) {
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
    fn only_differing_lines_are_told() {
        assert_eq!(
            differing("a\nb\nc", "a\nx\ny\nc"),
            (vec!["b"], vec!["x", "y"])
        );
        assert_eq!(differing("a", "a\nb"), (vec![], vec!["b"]));
        assert_eq!(differing("a\na", "a"), (vec!["a"], vec![]));
    }
}
